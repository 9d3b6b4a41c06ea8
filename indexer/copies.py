"""Files that left and of which a copy was added later: a move in two steps, of which the first was seen before.

The item goes on at the copy's place, with its id, captions and marks; the copy's own item goes. Files that were alike
from the beginning are no moves of each other, nor is a copy of which a caption table says something else.
A root, or the place of a drive in one, that is absent or empty may be away: its items go on elsewhere only together,
each at a copy that came in this run, has its time of writing, as a move leaves it, and is described alike by what lies
there.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Caption, Catalog, Failure, Item, Job, Mark, Root, chunks, is_scanned
from indexer.captions import INSIDE, given, without_sources
from indexer.changes import Moved, bring_back, forget_content, mark_removed, place_in
from indexer.failures import forget_failures
from indexer.found import FoundFile
from indexer.moves import Alike, Candidate, ends
from indexer.roots import is_linked
from indexer.shards import is_there
from indexer.sidecars.tables import is_of_table

_AT_ONCE = 256  # contents that are asked for at once
_Row = sa.Row[tuple[Item, Root]]
_Pair = tuple[_Row, _Row]  # what left, and its copy


@dataclass(frozen=True, slots=True)
class Continued:
    """An item that goes on at its copy's place, which is in a folder of a root."""

    id: int
    root_id: int
    folder: str


def has_left(place: str) -> bool:
    """Whether a file is not at its absolute path, but for a link that leads to it."""
    return not is_there(place) or is_linked(Path(place).parent)


def continue_in_copies(catalog: Catalog, left: Mapping[int, str], *, moved: bool = False) -> list[Continued]:
    """Let items whose files left take the places of later copies, as far as there are any. left: hashes by ids.

    moved: all of them or none, at copies that came in this run, have their times and are described alike.
    """
    with catalog.session() as session:
        starts = sorted(session.scalars(sa.select(Job.started_at).where(Job.kind == "index")))
    groups = list(chunks(list(dict.fromkeys(left.values())), _AT_ONCE))
    if moved:
        with catalog.session() as session:
            pairs = (_pairs(session, contents, left, starts, moved) for contents in groups)
            if sum(map(len, pairs)) < len(left):
                return []
    continued: list[Continued] = []
    for contents in groups:
        with catalog.session() as session:
            some = [_take_place(session, *pair) for pair in _pairs(session, contents, left, starts, moved)]
            if moved:  # what lies there says all that is said of them
                ids = [one.id for one in some]
                session.execute(sa.update(Item).where(Item.id.in_(ids)).values(told_as=None))
            continued += some
    return continued


def continue_place(catalog: Catalog, place: Path, most: int) -> list[Continued]:
    """Let all items of a place that is away go on elsewhere, if each was found again. most: how many were added."""
    query = sa.select(Item.id, Item.content_hash).join(Root, Root.id == Item.root_id).where(lies_in(place))
    with catalog.session() as session:
        rows = session.execute(query.where(Item.parent_id.is_(None), Item.removed_at.is_(None)).limit(most + 1)).all()
    left = {row.id: row.content_hash for row in rows if row.content_hash is not None}
    return continue_in_copies(catalog, left, moved=True) if len(left) == len(rows) <= most else []


def lies_in(place: Path) -> sa.ColumnElement[bool]:
    """Whether an item, joined with its root, lies in a folder, which may be the root."""
    below = (Root.path + "/" + Item.path).startswith(f"{place}/", autoescape=True)
    return sa.and_(is_scanned(), sa.or_(Root.path == str(place), below))


def _pairs(
    session: Session, contents: Sequence[str], left: Mapping[int, str], starts: Sequence[float], moved: bool
) -> list[_Pair]:
    """The items of these contents that left, each with its copy."""
    alike: dict[tuple[object, ...], list[_Row]] = {}
    rows = _present(session, contents)
    words = _told(session, [row.Item.id for row in rows], moved)
    for row in rows:
        item = row.Item
        exactly = item.mtime_ns, frozenset(words.get(item.id, ())), given(item.stamp)
        alike.setdefault((item.content_hash, exactly if moved else ()), []).append(row)
    return [pair for some in alike.values() for pair in _paired(some, left, starts, words, moved)]


def _present(session: Session, contents: Sequence[str]) -> Sequence[_Row]:
    """The files of those of some contents that several have, with their roots, in the order they were added."""
    there = Item.removed_at.is_(None), Item.parent_id.is_(None)
    several = sa.select(Item.content_hash).where(Item.content_hash.in_(contents), *there)
    # Asked apart: told by a subquery, SQLite goes through all items in the order of their ids.
    found = session.scalars(several.group_by(Item.content_hash).having(sa.func.count() > 1)).all()
    if not found:
        return []
    query = sa.select(Item, Root).join(Root, Root.id == Item.root_id).outerjoin(Failure, Failure.item_id == Item.id)
    query = query.where(Item.content_hash.in_(found), *there, is_scanned(), Failure.id.is_(None))
    return sorted(session.execute(query).all(), key=lambda row: row.Item.id)


def _told(session: Session, ids: Sequence[int], sidecars: bool) -> dict[int, set[str]]:
    """What caption tables say of files; sidecars: and what lies beside them."""
    words: dict[int, set[str]] = {}
    query = sa.select(Caption.owner_id, Caption.text, Caption.source).join(Item, Item.id == Caption.id)
    query = query.where(Item.removed_at.is_(None), Caption.source.not_in(INSIDE))
    for some in chunks(ids, 500):
        for row in session.execute(query.where(Caption.owner_id.in_(some))):
            if sidecars or is_of_table(row.source):
                words.setdefault(row.owner_id, set()).add(row.text)
    return words


def _paired(
    alike: Sequence[_Row], left: Mapping[int, str], starts: Sequence[float], words: Mapping[int, set[str]], moved: bool
) -> Iterator[_Pair]:
    """Files of one content that left, each with its copy: first those whose paths end most alike.

    starts: when the runs of indexing began, in order. Only what came in a later run than all that left is a copy.
    moved: only what came in the last one.
    """
    leaving = [row for row in alike if row.Item.id in left]
    run = max((bisect_right(starts, row.Item.added_at) for row in leaving), default=0)
    said = set[str]().union(*(words.get(row.Item.id, set()) for row in leaving))
    copies, rows = Alike(), {row.Item.id: row for row in alike}
    for item, root in alike if leaving else ():
        came = bisect_right(starts, item.added_at)
        later = item.id not in left and came > run and (came == len(starts) or not moved)
        if later and words.get(item.id, set()) <= said and _is_as_known(item, root):
            copies.add(Candidate(item.id, root.path, item.path, None, item.stamp))
    endings = [(-depth, row.Item.id, end) for row in leaving for depth, end in enumerate(ends(row.Item.path))]
    done = set[int]()
    for _, item_id, end in sorted(endings):
        if item_id not in done and (copy := copies.take(end, lambda one: True)):
            done.add(item_id)
            yield rows[item_id], rows[copy.id]


def _is_as_known(item: Item, root: Root) -> bool:
    """Whether the file is where it was and was not written since."""
    place = place_in(root.path, item.path)
    try:
        facts = os.lstat(place)
    except OSError:  # in a tar
        return is_there(place)
    return (facts.st_size, facts.st_mtime_ns) == (item.size, item.mtime_ns) and not has_left(place)


def _take_place(session: Session, row: _Row, copy: _Row) -> Continued:
    """Both items were one file all along; the older id stays."""
    item, root = copy
    mark_removed(session, [item.id])
    forget_content(session, item.id)
    forget_failures(session, [row.Item.id])
    session.execute(sa.update(Mark).where(Mark.item_id == item.id).values(item_id=row.Item.id))
    was = place_in(row.Root.path, row.Item.path)
    file = FoundFile(item.path, item.size, item.mtime_ns)
    bring_back(session, root, [Moved(row.Item.id, None, file, was, without_sources(row.Item.stamp))])
    return Continued(row.Item.id, root.id, item.folder)
