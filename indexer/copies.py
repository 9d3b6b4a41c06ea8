"""Files that left and of which a copy was added later: a move in two steps, of which the first was seen before.

The item goes on at the copy's place, with its id, captions and marks; the copy's own item goes. Files that were alike
from the beginning are no moves of each other, nor is a copy of which a caption table says something else.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Caption, Catalog, Failure, Item, Job, Mark, Root, chunks, is_scanned
from indexer.captions import without_sources
from indexer.changes import Moved, bring_back, forget_content, mark_removed, place_in
from indexer.failures import forget_failures
from indexer.found import FoundFile
from indexer.moves import Alike, Candidate, ends
from indexer.roots import is_linked
from indexer.shards import is_there

_AT_ONCE = 256  # contents that are asked for at once


@dataclass(frozen=True, slots=True)
class Continued:
    """An item that goes on at its copy's place, which is in a folder of a root."""

    id: int
    root_id: int
    folder: str


def has_left(place: str) -> bool:
    """Whether a file is not at its absolute path, but for a link that leads to it."""
    return not is_there(place) or is_linked(Path(place).parent)


def continue_in_copies(catalog: Catalog, left: Mapping[int, str]) -> list[Continued]:
    """Let items whose files left take the places of later copies, as far as there are any. left: hashes by ids."""
    continued: list[Continued] = []
    with catalog.session() as session:
        starts = sorted(session.scalars(sa.select(Job.started_at).where(Job.kind == "index")))
    for contents in chunks(list(dict.fromkeys(left.values())), _AT_ONCE):
        with catalog.session() as session:
            alike: dict[str, list[sa.Row[tuple[Item, Root]]]] = {}
            for row in session.execute(_present(contents)):
                alike.setdefault(row.Item.content_hash or "", []).append(row)
            words = _of_tables(session, [row.Item.id for some in alike.values() if len(some) > 1 for row in some])
            pairs = [pair for some in alike.values() for pair in _paired(some, left, starts, words)]
            continued += [_take_place(session, *pair) for pair in pairs]
    return continued


def _present(contents: Sequence[str]) -> sa.Select[tuple[Item, Root]]:
    """The files of those of some contents that several have, with their roots, in the order they were added."""
    several = sa.select(Item.content_hash).where(Item.content_hash.in_(contents), Item.removed_at.is_(None))
    several = several.where(Item.parent_id.is_(None)).group_by(Item.content_hash).having(sa.func.count() > 1)
    query = sa.select(Item, Root).join(Root, Root.id == Item.root_id).outerjoin(Failure, Failure.item_id == Item.id)
    query = query.where(Item.content_hash.in_(several), Item.removed_at.is_(None), Item.parent_id.is_(None))
    return query.where(is_scanned(), Failure.id.is_(None)).order_by(Item.id)


def _of_tables(session: Session, ids: Sequence[int]) -> dict[int, set[str]]:
    """What caption tables say of files."""
    words: dict[int, set[str]] = {}
    table = sa.or_(Caption.source.startswith("captions."), Caption.source == "img2dataset")
    query = sa.select(Caption.owner_id, Caption.text).join(Item, Item.id == Caption.id)
    for some in chunks(ids, 500):
        for row in session.execute(query.where(Caption.owner_id.in_(some), Item.removed_at.is_(None), table)):
            words.setdefault(row.owner_id, set()).add(row.text)
    return words


def _paired(
    alike: Sequence[sa.Row[tuple[Item, Root]]],
    left: Mapping[int, str],
    starts: Sequence[float],
    words: Mapping[int, set[str]],
) -> Iterator[tuple[sa.Row[tuple[Item, Root]], sa.Row[tuple[Item, Root]]]]:
    """Files of one content that left, each with its copy: first those whose paths end most alike.

    starts: when the runs of indexing began, in order. Only what came in a later run than all that left is a copy.
    """
    leaving = [row for row in alike if row.Item.id in left]
    run = max((bisect_right(starts, row.Item.added_at) for row in leaving), default=0)
    said = set[str]().union(*(words.get(row.Item.id, set()) for row in leaving))
    copies, rows = Alike(), {row.Item.id: row for row in alike}
    for item, root in alike if leaving else ():
        later = item.id not in left and bisect_right(starts, item.added_at) > run
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


def _take_place(session: Session, row: sa.Row[tuple[Item, Root]], copy: sa.Row[tuple[Item, Root]]) -> Continued:
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
