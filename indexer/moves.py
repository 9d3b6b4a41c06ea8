"""New paths of known files whose own path is empty: renamed, moved, or come back. They keep their ids.

A file that was read is known again by the hash of its content. One that never was, as in a library without an encoder,
by its size, its time of writing and its name.
Of several that are alike, that is taken whose path ended as the new one does, so that a folder's files stay apart.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Failure, Item, Root, is_scanned
from indexer.captions import without_sources
from indexer.changes import Moved, place_in
from indexer.found import FoundFile
from indexer.roots import looks_mounted
from indexer.shards import is_there

_MANY = 64  # files that are alike: from here on they are read from the catalog once a scan, and kept


@dataclass(slots=True)
class _Known:
    """An item whose file may not be where it was. left: when it was marked removed, None when it was not."""

    id: int
    root: str
    path: str
    left: float | None
    stamp: str
    spent: bool = False

    @property
    def place(self) -> str:
        """The absolute path."""
        return place_in(self.root, self.path)


class _Alike:
    """Items that are known by one thing, by how their paths end. Each is looked at once, however many are asked for."""

    def __init__(self) -> None:
        self.count = 0
        self._ending: dict[str, list[_Known]] = {}

    def add(self, one: _Known) -> None:
        """What is added last is taken first, among those that end alike."""
        self.count += 1
        for end in _ends(one.path):
            self._ending.setdefault(end, []).append(one)

    def take(self, path: str, is_free: Callable[[_Known], bool], named: bool) -> _Known | None:
        """The item whose path ended most like this one, which is none any more. named: its name must be the same."""
        for end in _ends(path):
            if named and not end:
                break
            some = self._ending.get(end, [])
            while some:
                one = some.pop()
                if not one.spent:
                    one.spent = True
                    if is_free(one):
                        return one
        return None


def _ends(path: str) -> Iterator[str]:
    """The path, then what is left of it without its first folders, its name, and nothing."""
    while path:
        yield path
        path = path.partition("/")[2]
    yield ""


class Moves:
    """Looks for files that moved, through one scan. hashed: gives the hash of a path's content, None where unread."""

    def __init__(self, hashed: Callable[[str], str | None]) -> None:
        self._hashed = hashed
        self._sizes: tuple[set[int], set[int]] | None = None
        self._kept: dict[str, _Alike] = {}
        self._mounted: dict[str, bool] = {}  # roots by their paths

    def of(self, session: Session, files: Sequence[FoundFile]) -> list[Moved]:
        """Those of the new files that are known ones."""
        self._mounted = {}
        read, unread = self._sizes = self._sizes or (_sizes(session, True), _sizes(session, False))
        hashes = {file.path: self._hashed(file.path) for file in files if file.size in read}
        keys = {path: content for path, content in hashes.items() if content}
        contents = self._unkept(keys.values())
        moved = self._taken(session, files, keys, [Item.content_hash.in_(contents)] if contents else [], named=False)
        found = {one.file.path for one in moved}
        rest = [file for file in files if file.size in unread and file.path not in found]
        keys = {file.path: _key(None, file.size, file.mtime_ns) for file in rest}
        new = self._unkept(keys.values())
        asked = [file for file in rest if keys[file.path] in new]
        alike = Item.size.in_({file.size for file in asked}), Item.mtime_ns.in_({file.mtime_ns for file in asked})
        which = [Item.content_hash.is_(None), *alike] if asked else []
        return moved + self._taken(session, rest, keys, which, named=True)

    def _unkept(self, keys: Collection[str]) -> set[str]:
        return set(keys) - self._kept.keys()

    def _taken(
        self,
        session: Session,
        files: Sequence[FoundFile],
        keys: dict[str, str],
        which: Sequence[sa.ColumnElement[bool]],
        named: bool,
    ) -> list[Moved]:
        """The files, by what each is known by, as known items. which: conditions on what is to be read, if anything."""
        alike = {**(_alike(session, which) if which else {}), **self._kept}
        self._kept |= {key: some for key, some in alike.items() if some.count >= _MANY}
        moved = []
        for file in files:
            some = alike.get(keys.get(file.path, ""))
            if some and (one := some.take(file.path, self._is_free, named)):
                moved.append(Moved(one.id, one.left, file, one.place, without_sources(one.stamp)))
        return moved

    def _is_free(self, one: _Known) -> bool:
        """Whether its file is not where it was: on a drive that is away it may be there still."""
        if one.left is not None:
            return True
        if one.root not in self._mounted:
            self._mounted[one.root] = looks_mounted(Path(one.root))
        return self._mounted[one.root] and not is_there(one.place)


def _sizes(session: Session, read: bool) -> set[int]:
    """Sizes of the files whose content was read, or was not."""
    known = Item.content_hash.is_not(None) if read else Item.content_hash.is_(None)
    return set(session.scalars(sa.select(Item.size).where(Item.parent_id.is_(None), known).distinct()))


def _alike(session: Session, which: Sequence[sa.ColumnElement[bool]]) -> dict[str, _Alike]:
    """Items by what they are known by; removed ones are taken first, then the newest."""
    columns = Item.id, Item.content_hash, Item.size, Item.mtime_ns, Item.path, Item.removed_at, Item.stamp
    query = sa.select(*columns, Root.path.label("root")).join(Root, Root.id == Item.root_id)
    query = query.outerjoin(Failure, Failure.item_id == Item.id).where(Failure.id.is_(None), Item.parent_id.is_(None))
    query = query.where(is_scanned(), *which).order_by(Item.removed_at.is_not(None), Item.id)
    alike: dict[str, _Alike] = {}
    for row in session.execute(query):
        key = _key(row.content_hash, row.size, row.mtime_ns)
        alike.setdefault(key, _Alike()).add(_Known(row.id, row.root, row.path, row.removed_at, row.stamp))
    return alike


def _key(content: str | None, size: int, mtime_ns: int) -> str:
    return content or f"{size} {mtime_ns}"
