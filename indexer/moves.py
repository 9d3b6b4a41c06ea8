"""New paths of known files whose own path is empty: renamed, moved, or come back. They keep their ids.

A file that was read is known again by the hash of its content, also where another file lies at its path now, or where
it came to the path of another; of several that have it, one that has its time of writing, too, as a rename leaves it.
One that never was read, as in a library without an encoder, is known by its size, its time of writing and its name,
once all files have been seen that it may be.
Of several that are alike, those are paired first that lay at the very place, then those whose paths end alike, so that
a folder's files stay apart.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Failure, Item, Root, chunks, is_scanned
from indexer.captions import without_sources
from indexer.changes import Moved, place_in
from indexer.found import FoundFile, file_of
from indexer.roots import is_linked, is_on_away_drive, looks_mounted
from indexer.shards import is_there
from indexer.sidecars.names import bare

_AT_ONCE = 4096  # files whose like is asked for at once
_MANY = 64  # files that are alike: from here on they are read from the catalog once a scan, and kept


@dataclass(slots=True)
class Candidate:
    """An item whose file may not be where it was. left: when it was marked removed, None when it was not."""

    id: int
    root: str
    path: str
    left: float | None
    stamp: str
    size: int = 0
    mtime_ns: int = 0
    content: str | None = None
    spent: bool = False

    @property
    def place(self) -> str:
        """The absolute path."""
        return place_in(self.root, self.path)


class Alike:
    """Items that are known by one thing, by how their paths end. Each is looked at once, however many are asked for."""

    def __init__(self) -> None:
        self.count = 0
        self._ending: dict[str, list[Candidate]] = {}

    def add(self, one: Candidate) -> None:
        """What is added last is taken first, among those that end alike."""
        self.count += 1
        for end in (*ends(one.path), one.place):
            self._ending.setdefault(end, []).append(one)

    def holds(self, end: str, is_free: Callable[[Candidate], bool]) -> bool:
        """Whether there is an item whose path ended so, and is none any more."""
        some = self._ending.get(end, [])
        while some and (some[-1].spent or not is_free(some[-1])):
            some.pop().spent = True
        return bool(some)

    def take(self, end: str, is_free: Callable[[Candidate], bool]) -> Candidate | None:
        """That item, each once."""
        if not self.holds(end, is_free):
            return None
        one = self._ending[end].pop()
        one.spent = True
        return one


def ends(path: str) -> list[str]:
    """How a path ends: nothing, the name, then it with more and more of its folders, and the path."""
    parts = path.split("/")
    return ["", *("/".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))]


class Moves:
    """Looks for files that moved, through one scan.

    hashed: gives the hash of the content at an absolute path, None where it cannot be read. root: the one that is
    scanned. drives: the places of drives within roots. found: items that were found again already, by any scan.
    """

    def __init__(
        self, hashed: Callable[[str], str | None], root: str, drives: Sequence[Path], found: Collection[int]
    ) -> None:
        self._hashed, self._root, self._drives, self._found = hashed, root, drives, found
        self._sizes: tuple[set[int], set[int]] | None = None
        self._kept: dict[str, Alike] = {}
        self._mounted: dict[str, bool] = {}  # folders, whether their root and drive are there
        self._linked: dict[str, bool] = {}  # whether a link leads to them now

    def look_again(self) -> None:
        """Forget what was kept of the catalog: other scans changed it since."""
        self._kept = {}

    def of(self, session: Session, files: Sequence[FoundFile]) -> tuple[list[Moved], list[FoundFile]]:
        """Those of the new files that are known ones, by their contents; and those that may be, by what was not read:

        see `settled`.
        """
        keys, alike = self._contents(session, files)
        moved = self._paired_by_content(files, keys, alike)
        _, unread = self._known_sizes(session)
        rest = [file for file in _without(files, moved) if file.size in unread]
        alike = self._unread(session, rest)
        maybe = ((file, alike.get(_key(None, file.size, file.mtime_ns))) for file in rest)
        return moved, [file for file, some in maybe if some and some.holds(bare(file.path), self._is_free)]

    def renamed(self, session: Session, files: Sequence[FoundFile]) -> list[Moved]:
        """Those of the files at known paths, whose content is another now, that are known ones from other paths."""
        return self._paired_by_content(files, *self._contents(session, files))

    def settled(self, session: Session, files: Sequence[FoundFile]) -> list[Moved]:
        """Those of all the files that may be items that were never read which are."""
        self._mounted, self._linked = {}, {}
        alike: dict[str, Alike] = {}
        for some in chunks(files, _AT_ONCE):
            alike |= self._unread(session, some)
        keys = {file.path: _key(None, file.size, file.mtime_ns) for file in files}
        return self._paired(files, keys, alike, self._is_free, named=True)

    def _contents(self, session: Session, files: Sequence[FoundFile]) -> tuple[dict[str, str], dict[str, Alike]]:
        """Hashes of those of the files, by their paths, that may be known by them; and the items that they may be."""
        self._mounted, self._linked = {}, {}
        read, _ = self._known_sizes(session)
        hashes = {file.path: self._hashed(place_in(self._root, file.path)) for file in files if file.size in read}
        keys = {path: content for path, content in hashes.items() if content}
        contents = self._unkept(keys.values())
        return keys, self._read(session, [Item.content_hash.in_(contents)] if contents else [])

    def _known_sizes(self, session: Session) -> tuple[set[int], set[int]]:
        """Of the items whose content was read, and of those that never were."""
        self._sizes = self._sizes or (_sizes(session, True), _sizes(session, False))
        return self._sizes

    def _unkept(self, keys: Collection[str]) -> set[str]:
        return set(keys) - self._kept.keys()

    def _unread(self, session: Session, files: Sequence[FoundFile]) -> dict[str, Alike]:
        """Items that were never read and are like the files."""
        new = self._unkept([_key(None, file.size, file.mtime_ns) for file in files])
        asked = [file for file in files if _key(None, file.size, file.mtime_ns) in new]
        alike = Item.size.in_({file.size for file in asked}), Item.mtime_ns.in_({file.mtime_ns for file in asked})
        return self._read(session, [Item.content_hash.is_(None), *alike] if asked else [])

    def _read(self, session: Session, which: Sequence[sa.ColumnElement[bool]]) -> dict[str, Alike]:
        """Items by what they are known by. which: conditions on what is to be read, if anything."""
        alike = {**(_alike(session, which) if which else {}), **self._kept}
        many = {key for key, some in alike.items() if some.count >= _MANY}
        self._kept |= {key: some for key, some in alike.items() if key in many or key.partition(" ")[0] in many}
        return alike

    def _paired_by_content(
        self, files: Sequence[FoundFile], keys: dict[str, str], alike: dict[str, Alike]
    ) -> list[Moved]:
        """The files as known items by their contents: first those that a move left their times of writing."""
        moved = self._paired(files, _timed(files, keys), alike, self._has_gone)
        return moved + self._paired(_without(files, moved), keys, alike, self._has_gone)

    def _paired(
        self,
        files: Sequence[FoundFile],
        keys: dict[str, str],
        alike: dict[str, Alike],
        is_free: Callable[[Candidate], bool],
        named: bool = False,
    ) -> list[Moved]:
        """The files, by what each is known by, as known items, those first that end most alike. named: in their names
        at least.
        """

        def is_lost(one: Candidate) -> bool:
            return one.id not in self._found and is_free(one)

        endings = [
            (-depth, number, end)
            for number, file in enumerate(files)
            if keys.get(file.path) in alike
            for depth, end in enumerate((*ends(file.path), place_in(self._root, file.path)))
            if depth or not named
        ]
        moved: dict[int, Moved] = {}
        for _, number, end in sorted(endings):
            file = files[number]
            if number not in moved and (one := alike[keys[file.path]].take(end, is_lost)):
                moved[number] = Moved(one.id, one.left, file, one.place, without_sources(one.stamp))
        return list(moved.values())

    def _is_free(self, one: Candidate) -> bool:
        """Whether its file is not where it was, but for a link there: on a drive that is away it may be there still."""
        if one.left is not None:
            return True
        folder = os.path.dirname(one.place)
        if folder not in self._mounted:
            away = is_on_away_drive(Path(folder), self._drives)
            self._mounted[folder] = looks_mounted(Path(one.root)) and not away
            self._linked[folder] = is_linked(Path(folder))
        return self._mounted[folder] and (self._linked[folder] or not is_there(one.place))

    def _has_gone(self, one: Candidate) -> bool:
        """Whether its file is not where it was, though another one may be."""
        return self._is_free(one) or (self._mounted[os.path.dirname(one.place)] and self._is_replaced(one))

    def _is_replaced(self, one: Candidate) -> bool:
        """Whether a file of another content lies where it was. What lies in a tar is taken for what it was."""
        try:
            facts = file_of(one.path, os.lstat(one.place))
        except OSError:
            return False
        if (facts.size, facts.mtime_ns) == (one.size, one.mtime_ns):
            return False
        now = self._hashed(one.place) if facts.size == one.size else ""
        return now is not None and now != one.content


def _sizes(session: Session, read: bool) -> set[int]:
    """Sizes of the files whose content was read, or was not."""
    known = Item.content_hash.is_not(None) if read else Item.content_hash.is_(None)
    return set(session.scalars(sa.select(Item.size).where(Item.parent_id.is_(None), known).distinct()))


def _without(files: Sequence[FoundFile], moved: Sequence[Moved]) -> list[FoundFile]:
    found = {one.file.path for one in moved}
    return [file for file in files if file.path not in found]


def _alike(session: Session, which: Sequence[sa.ColumnElement[bool]]) -> dict[str, Alike]:
    """Items by what they are known by, those that were read also by it with their times.

    Removed ones are taken first, then the newest.
    """
    columns = Item.id, Item.content_hash, Item.size, Item.mtime_ns, Item.path, Item.removed_at, Item.stamp
    query = sa.select(*columns, Root.path.label("root")).join(Root, Root.id == Item.root_id)
    query = query.outerjoin(Failure, Failure.item_id == Item.id).where(Failure.id.is_(None), Item.parent_id.is_(None))
    query = query.where(is_scanned(), *which).order_by(Item.removed_at.is_not(None), Item.id)
    alike: dict[str, Alike] = {}
    for row in session.execute(query):
        key = _key(row.content_hash, row.size, row.mtime_ns)
        facts = row.size, row.mtime_ns, row.content_hash
        one = Candidate(row.id, row.root, row.path, row.removed_at, row.stamp, *facts)
        alike.setdefault(key, Alike()).add(one)
        if row.content_hash:
            alike.setdefault(f"{key} {row.mtime_ns}", Alike()).add(one)
    return alike


def _key(content: str | None, size: int, mtime_ns: int) -> str:
    return content or f"{size} {mtime_ns}"


def _timed(files: Sequence[FoundFile], contents: Mapping[str, str]) -> dict[str, str]:
    """Contents and times of the files whose contents are known, by their paths."""
    return {file.path: f"{contents[file.path]} {file.mtime_ns}" for file in files if file.path in contents}
