"""Files that are there more than once, or nearly: what they take, and which to keep. Nothing is ever deleted."""

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from engine.catalog import Catalog, Item, Root
from engine.types import Modality

_READ = 10_000


@dataclass(frozen=True, slots=True)
class Copy:
    """One of the files alike. path: absolute. bytes: its size; width, height: pixels; modified: seconds, UTC."""

    id: int
    path: str
    bytes: int
    width: int | None
    height: int | None
    modified: float


@dataclass(frozen=True, slots=True)
class Alike:
    """Files alike, the one suggested to keep first: the most pixels, then the most bytes, then the oldest.

    exact: all have the same content. oldest: the item that was modified first. saving: bytes of the others.
    """

    copies: tuple[Copy, ...]
    exact: bool
    oldest: int
    saving: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was found, the biggest saving first. count, saving: of all, listed here or not."""

    listed: tuple[Alike, ...]
    count: int
    saving: int


def find_duplicates(catalog: Catalog, *, exact: bool = False, top: int = 20) -> Duplicates:
    """The `top` sets of present files alike that take the most. exact: only those with the same content.

    A file with several frames (pages, moments, an animation) is like another only when their contents are the same:
    a first page in common makes no duplicate.
    """
    count = saving = 0
    best: list[tuple[int, int, Alike]] = []
    for alike in _sets(catalog, exact):
        count, saving = count + 1, saving + alike.saving
        ranked = (alike.saving, -alike.copies[0].id, alike)  # ids differ: sets are never compared
        (heapq.heappush if len(best) < top else heapq.heappushpop)(best, ranked)
    return Duplicates(tuple(alike for *_, alike in sorted(best, reverse=True)), count, saving)


def _sets(catalog: Catalog, exact: bool) -> Iterator[Alike]:
    with catalog.session() as session:
        rows = session.execute(_by_content().execution_options(yield_per=_READ))
        for _, same in groupby(rows, lambda row: row.content_hash):
            found = list(same)
            if exact or sum(row.group_id is not None and not row.frames for row in found) < 2:  # else by its group
                yield _alike(found)
        if not exact:
            rows = session.execute(_by_group().execution_options(yield_per=_READ))
            for _, same in groupby(rows, lambda row: row.group_id):
                found = [row for row in same if not row.frames]
                if len(found) > 1:
                    yield _alike(found)


def _files() -> sa.Select[Any]:
    frame = aliased(Item)
    frames = sa.exists().where(frame.parent_id == Item.id, frame.modality != Modality.TEXT)
    query = sa.select(
        Item.id, Root.path.label("root"), Item.path, Item.size, Item.width, Item.height, Item.mtime_ns,
        Item.content_hash, Item.group_id, frames.label("frames"),
    )  # fmt: skip
    query = query.join(Root, Root.id == Item.root_id)
    return query.where(Item.parent_id.is_(None), Item.removed_at.is_(None))


def _by_content() -> sa.Select[Any]:
    """Files whose content is there more than once, one content after the other."""
    often = sa.select(Item.content_hash).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
    often = often.group_by(Item.content_hash).having(sa.func.count() > 1)
    return _files().where(Item.content_hash.in_(often)).order_by(Item.content_hash, Item.id)


def _by_group() -> sa.Select[Any]:
    return _files().where(Item.group_id.is_not(None)).order_by(Item.group_id, Item.id)


def _alike(rows: list[Any]) -> Alike:
    rows.sort(key=lambda row: (-(row.width or 0) * (row.height or 0), -row.size, row.mtime_ns, row.id))
    copies = tuple(
        Copy(row.id, os.path.join(row.root, row.path), row.size, row.width, row.height, row.mtime_ns / 1e9)
        for row in rows
    )  # fmt: skip
    same = rows[0].content_hash is not None and len({row.content_hash for row in rows}) == 1
    oldest = min(rows, key=lambda row: (row.mtime_ns, row.id)).id
    return Alike(copies, same, oldest, sum(row.size for row in rows[1:]))
