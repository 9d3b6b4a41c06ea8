"""Forget removed items for good, with everything that is known of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from engine.catalog import Caption, Catalog, Embedding, FactsRow, Failure, Item, Keyword, Mark, Root, chunks
from indexer.jobs import Tell
from indexer.roots import looks_mounted

_BATCH = 200  # files in one transaction

_child = aliased(Item)


def forgettable(catalog: Catalog, before: float) -> tuple[list[int], list[int]]:
    """Ids of removed files, which go with their frames and captions; and of such whose file stays.

    before: removed at this time (seconds since the epoch) or earlier. A file that failed and is still there keeps its
    tombstone: it would be tried again at every run.
    """
    gone = sa.and_(Item.removed_at.is_not(None), Item.removed_at <= before)
    kept = _still_failing(catalog)
    living = sa.select(_child.id).where(
        _child.parent_id == Item.id, sa.or_(_child.removed_at.is_(None), _child.removed_at > before)
    )
    files = sa.select(Item.id).where(Item.parent_id.is_(None), gone, ~living.exists()).order_by(Item.id)
    words = sa.select(Caption.id).join(_child, _child.id == Caption.id)
    words = words.where(Caption.owner_id == Item.id, sa.or_(_child.removed_at.is_(None), _child.removed_at > before))
    parts = sa.select(Item.id, Item.parent_id).where(Item.parent_id.is_not(None), gone, ~words.exists())
    with catalog.session() as session:
        whole = [item for item in session.scalars(files) if item not in kept]
        goes = {*whole, *kept}
        return whole, [row.id for row in session.execute(parts.order_by(Item.id)) if row.parent_id not in goes]


def _still_failing(catalog: Catalog) -> set[int]:
    """Removed items with a failure whose file is there, or may be: its drive is not mounted."""
    query = sa.select(Failure.item_id, Root.path.label("root"), Item.path)
    query = query.join(Item, Item.id == Failure.item_id).join(Root, Root.id == Item.root_id)
    with catalog.session() as session:
        rows = session.execute(query.where(Item.removed_at.is_not(None))).all()
    mounted = {root: looks_mounted(Path(root)) for root in {row.root for row in rows}}
    return {row.item_id for row in rows if not mounted[row.root] or os.path.lexists(Path(row.root) / row.path)}


def forget(catalog: Catalog, files: Sequence[int], parts: Sequence[int], tell: Tell) -> int:
    """Delete these rows and all that point to them; return how many items went. What is done stays done."""
    total, done = len(files) + len(parts), 0
    items = 0
    for some in chunks(files, _BATCH):
        with catalog.session() as session:
            children = list(session.scalars(sa.select(Item.id).where(Item.parent_id.in_(some))))
            delete_items(session, children)
            delete_items(session, some)
        items += len(children) + len(some)
        done += len(some)
        tell("forgetting what was removed", done, total)
    for some in chunks(parts, _BATCH):
        with catalog.session() as session:
            delete_items(session, some)
        items += len(some)
        done += len(some)
        tell("forgetting what was removed", done, total)
    return items


def delete_items(session: Session, ids: Sequence[int]) -> None:
    """Delete items, and before them all that points to them."""
    columns: tuple[InstrumentedAttribute[Any], ...] = (
        Mark.item_id, FactsRow.item_id, Keyword.item_id, Embedding.item_id, Failure.item_id, Caption.id,
        Caption.owner_id,
    )  # fmt: skip
    for some in chunks(ids, 500):
        for column in columns:
            session.execute(sa.delete(column.class_).where(column.in_(some)))
    _leave_groups(session, ids)
    for some in chunks(ids, 500):
        session.execute(sa.delete(Item).where(Item.id.in_(some)))


def _leave_groups(session: Session, ids: Sequence[int]) -> None:
    """A group is named by its first item: where that one goes, the next names it; one that is left alone has none."""
    groups = set(ids)
    for some in chunks(ids, 500):
        groups |= set(session.scalars(sa.select(Item.group_id).where(Item.id.in_(some), Item.group_id.is_not(None))))
    gone, left = set(ids), dict[int, list[int]]()
    for some in chunks(sorted(groups), 500):
        query = sa.select(Item.group_id, Item.id).where(Item.group_id.in_(some)).order_by(Item.id)
        for group, item in session.execute(query):
            left.setdefault(group, []).extend([item] * (item not in gone))
    for group, members in left.items():
        if len(members) < 2 or group in gone:
            first = members[0] if len(members) > 1 else None
            session.execute(sa.update(Item).where(Item.group_id == group).values(group_id=first))
