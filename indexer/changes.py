"""What happens to the rows of a file that changed, moved, went or came back: to its item, its frames and captions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Embedding, FactsRow, Item, Keyword, Root, chunks
from engine.types import Modality
from indexer.found import FoundFile


def insert_items(session: Session, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Make items of rows of values; their ids, in the same order."""
    if not rows:
        return []
    items: sa.Table = Item.__table__  # type: ignore[assignment]
    insert = sa.insert(items).returning(items.c.id, sort_by_parameter_order=True)
    return list(session.connection().execute(insert, rows).scalars())


def mark_removed(session: Session, ids: Sequence[int], *, alone: bool = False) -> None:
    """Take items out of results, with their frames and captions. Their rows stay, until `rebus gc`.

    alone: without these, to free the paths of files that come back elsewhere.
    """
    which = Item.id.in_(ids) if alone else sa.or_(Item.id.in_(ids), Item.parent_id.in_(ids))
    session.execute(sa.update(Item).where(which, Item.removed_at.is_(None)).values(removed_at=time.time()))


def forget_content(session: Session, item_id: int) -> None:
    """Drop what was learned from the file's bytes: embeddings of its frames, facts, keywords, its hash."""
    frames = sa.or_(Item.id == item_id, sa.and_(Item.parent_id == item_id, Item.modality != Modality.TEXT))
    own = sa.select(Item.id).where(frames)
    session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(own)))
    for table in (FactsRow, Keyword):
        session.execute(sa.delete(table).where(table.item_id == item_id))
    session.execute(sa.update(Item).where(frames).values(content_hash=None, phash=None))


@dataclass(frozen=True, slots=True)
class Moved:
    """An item whose file is there again under a path. left: when it was marked removed, None when it was not.

    was: the absolute path at which it lay. stamp: what the catalog has of its sidecars.
    """

    id: int
    left: float | None
    file: FoundFile
    was: str
    stamp: str


def place_in(root: str, path: str) -> str:
    """The absolute path of a file, with slashes below its root."""
    return f"{root.rstrip('/')}/{path}"


def bring_back(session: Session, root: Root, moved: Sequence[Moved]) -> None:
    """Items return with their ids, embeddings, frames and captions, at their new paths.

    Their captions from sidecars are compared again, since their stamps are cleared, but for what facts these gave.
    """
    _let_go(session, [one.was for one in moved])
    items: sa.Table = Item.__table__  # type: ignore[assignment]
    places = [
        {
            "item": one.id,
            "new_path": one.file.path,
            "new_folder": one.file.path.rpartition("/")[0],
            "new_mtime": one.file.mtime_ns,
            "new_stamp": one.stamp,
            "new_place": place_in(root.path, one.file.path),
            "was": one.was,
        }
        for one in moved
    ]
    place: dict[str, object] = {
        "root_id": root.id,
        "path": sa.bindparam("new_path"),
        "folder": sa.bindparam("new_folder"),
    }
    first = sa.func.coalesce(items.c.told_as, sa.bindparam("was", type_=sa.String))  # tables may know it by that
    own: dict[str, object] = {
        "mtime_ns": sa.bindparam("new_mtime"),
        "removed_at": None,
        "stamp": sa.bindparam("new_stamp"),
        "told_as": sa.func.nullif(first, sa.bindparam("new_place", type_=sa.String)),
    }
    connection = session.connection()
    connection.execute(sa.update(items).where(items.c.parent_id == sa.bindparam("item")).values(**place), places)
    connection.execute(sa.update(items).where(items.c.id == sa.bindparam("item")).values(**place, **own), places)
    left = {one.id: one.left for one in moved if one.left is not None}
    if left:
        rows = session.execute(sa.select(Item.id, Item.parent_id, Item.removed_at).where(Item.parent_id.in_(left)))
        below = [row.id for row in rows if row.removed_at == left[row.parent_id]]  # not what had left before
        session.execute(sa.update(Item).where(Item.id.in_(below)).values(removed_at=None))
        renew_embeddings(session, [*left, *below])


def _let_go(session: Session, places: Sequence[str]) -> None:
    """What tables say of these places follows another file now than the one that lay there before it."""
    for some in chunks(places, 500):
        session.execute(sa.update(Item).where(Item.told_as.in_(some)).values(told_as=None))


def renew_embeddings(session: Session, item_ids: Sequence[int]) -> None:
    """Give items' embeddings new ids, past the published watermark, so that serving takes them in again."""
    rows = session.scalars(sa.select(Embedding).where(Embedding.item_id.in_(item_ids)).order_by(Embedding.id)).all()
    places = [{"item_id": r.item_id, "encoder_id": r.encoder_id, "shard": r.shard, "row": r.row} for r in rows]
    session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(item_ids)))
    if places:
        session.execute(sa.insert(Embedding), places)
