"""New paths of known files whose own path is empty: renamed, moved, or come back. They keep their ids.

A file that was read is known again by the hash of its content. One that never was, as in a library without an encoder,
by its size, its time of writing and its name; or without the name, where no other has this size and time.
Of several that are alike, that is taken whose path ended as the new one does, so that a folder's files stay apart.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Failure, Item, Root, is_scanned
from indexer.changes import Moved
from indexer.found import FoundFile
from indexer.roots import looks_mounted


@dataclass(frozen=True, slots=True)
class _Free:
    """An item whose file is not where it was. left: when it was marked removed, None when it was not."""

    id: int
    path: str
    left: float | None


class Moves:
    """Looks for files that moved, through one scan. hashed: gives the hash of a path's content, None where unread."""

    def __init__(self, hashed: Callable[[str], str | None]) -> None:
        self._hashed = hashed
        self._sizes: tuple[set[int], set[int]] | None = None

    def of(self, session: Session, files: Sequence[FoundFile]) -> list[Moved]:
        """Those of the new files that are known ones."""
        read, unread = self._sizes = self._sizes or (_sizes(session, True), _sizes(session, False))
        hashes = {file.path: self._hashed(file.path) for file in files if file.size in read}
        contents = {content for content in hashes.values() if content}
        free = _without_a_file(session, Item.content_hash.in_(contents)) if contents else {}
        moved = []
        for file in files:
            if candidates := free.get(hashes.get(file.path) or ""):
                moved.append(_taken(candidates, file))
        found = {one.file.path for one in moved}
        return moved + _unread(session, [file for file in files if file.size in unread and file.path not in found])


def _sizes(session: Session, read: bool) -> set[int]:
    """Sizes of the files whose content was read, or was not."""
    known = Item.content_hash.is_not(None) if read else Item.content_hash.is_(None)
    return set(session.scalars(sa.select(Item.size).where(Item.parent_id.is_(None), known).distinct()))


def _unread(session: Session, files: Sequence[FoundFile]) -> list[Moved]:
    """Those whose content was never read, by size and time of writing."""
    if not files:
        return []
    alike = Item.size.in_({file.size for file in files}), Item.mtime_ns.in_({file.mtime_ns for file in files})
    free = _without_a_file(session, Item.content_hash.is_(None), *alike)
    groups: dict[str, list[FoundFile]] = {}
    for file in files:
        groups.setdefault(_key(None, file.size, file.mtime_ns), []).append(file)
    moved = []
    for key, group in groups.items():
        candidates = free.get(key, [])
        only = len(group) == len(candidates) == 1
        for file in group:
            if only or any(_shared(one.path, file.path) for one in candidates):
                moved.append(_taken(candidates, file))
    return moved


def _without_a_file(session: Session, *which: sa.ColumnElement[bool]) -> dict[str, list[_Free]]:
    """Items whose file is not where it was, by what they are known by; removed ones first."""
    columns = Item.id, Item.content_hash, Item.size, Item.mtime_ns, Item.path, Item.removed_at
    query = sa.select(*columns, Root.path.label("root")).join(Root, Root.id == Item.root_id)
    query = query.outerjoin(Failure, Failure.item_id == Item.id).where(Failure.id.is_(None), Item.parent_id.is_(None))
    query = query.where(is_scanned(), *which).order_by(Item.removed_at.is_(None), Item.id.desc())
    free: dict[str, list[_Free]] = {}
    mounted: dict[str, bool] = {}
    for row in session.execute(query):
        if row.removed_at is None:
            there = mounted.setdefault(row.root, looks_mounted(Path(row.root)))
            if not there or os.path.lexists(f"{row.root}/{row.path}"):
                continue
        key = _key(row.content_hash, row.size, row.mtime_ns)
        free.setdefault(key, []).append(_Free(row.id, row.path, row.removed_at))
    return free


def _key(content: str | None, size: int, mtime_ns: int) -> str:
    return content or f"{size} {mtime_ns}"


def _taken(candidates: list[_Free], file: FoundFile) -> Moved:
    """The file as the item whose path ended most alike, which is no candidate any more."""
    one = max(candidates, key=lambda one: _shared(one.path, file.path))
    candidates.remove(one)
    return Moved(one.id, one.left, file)


def _shared(a: str, b: str) -> int:
    """How many names at their ends two paths share."""
    alike = (x == y for x, y in zip(reversed(a.split("/")), reversed(b.split("/")), strict=False))
    return len(list(takewhile(bool, alike)))
