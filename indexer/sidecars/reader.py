"""Reads the sidecars of a root's files as a scan asks for them."""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import CaptionSettings
from engine.errors import MediaError
from engine.words import counted
from indexer.found import Folder, Former, FoundFile
from indexer.sidecars.lookup import Table, mark_all
from indexer.sidecars.names import OWN, bare, describes, is_shard_table, is_table, known_as, rank, scopes, within
from indexer.sidecars.own import HINT, read_own
from indexer.sidecars.rows import NAME_KEYS, SPLITS, Nameless, name_in, said_in
from indexer.sidecars.said import Captions
from indexer.sidecars.tables import SHARD_KEYS, ForeignTable, read_rows, source_name

_OPEN_TABLES = 16  # besides those of the folder at hand


@dataclass(slots=True)
class _Complaints:
    """What is wrong with a table: how many rows of each kind, and the first of them.

    nameless: rows, among those passed over, that can be read and name no picture.
    """

    passed_over: int = 0
    nameless: int = 0
    first: str = ""
    splits: int = 0
    first_split: str = ""
    damage: MediaError | None = None
    used: int = 0

    def error(self, unused: int = 0, first_unused: str = "") -> MediaError | None:
        """All of it in one, None when there is nothing to tell."""
        parts = [self.damage.reason] if self.damage else []
        if self.passed_over:
            parts.append(f"passed over {counted(self.passed_over, 'line')}; {self.first}")
        if self.splits:
            parts.append(
                f"{counted(self.splits, 'line')} with a split that is none of train, val and test; {self.first_split}"
            )
        if unused:
            parts.append(f"{counted(unused, 'line')} about no file that is here, the first: {first_unused}")
        if not parts:
            return None
        return MediaError(
            self.damage.stage if self.damage else "caption", "; ".join(parts), self.damage.hint if self.damage else HINT
        )


class CaptionReader:
    """Reads the sidecars of one root, each table once and only when a picture asks for it.

    looked_at: the sidecars read so far. failures: by path, what could not be read. It is used by one thread at a time.
    """

    def __init__(
        self, root: Path, settings: CaptionSettings, formerly: Callable[[Path], Sequence[str]] = lambda root: ()
    ) -> None:
        """formerly: the paths in a root at which files lay before they moved."""
        self.root, self.settings, self._formerly = root, settings, formerly
        self.failures: dict[str, MediaError] = {}
        self.looked_at: set[str] = set()
        self._tables: OrderedDict[str, tuple[Table | None, _Complaints]] = OrderedDict()
        self._others: dict[Path, CaptionReader] = {}  # of the roots that files came from

    def stamp(self, folder: Folder, file: FoundFile, former: Former | None = None) -> str:
        """What changes when any caption source of the file does; empty when it has none."""
        now = self._stamp(folder, file)
        left = _left(folder, file, former)
        if former is None or not (left or former.tables):
            return now
        return f"{now}~{';'.join(map(_mark, [*left, *(one for one in former.tables if one not in folder.tables)]))}"

    def _stamp(self, folder: Folder, file: FoundFile) -> str:
        if not folder.tables and not folder.sidecars:
            return ""
        if folder.tables_stamp is None:
            folder.tables_stamp = ";".join(map(_mark, folder.tables))
        own = _own(folder, file)
        if not own:
            return folder.tables_stamp
        return ";".join([*map(_mark, own), folder.tables_stamp] if folder.tables else map(_mark, own))

    def read(self, folder: Folder, file: FoundFile, former: Former | None = None) -> Captions:
        """What is said of a file: by its own sidecars first, then by the tables above it, without repeats.

        former: where it lay before it moved. A sidecar that was left there speaks of it unless one of its kind lies
        here; the tables there speak of it last.
        """
        found = Captions()
        for source in _own(folder, file):
            found.add(self._from_own(source))
        reader = self._reader(former.root) if former else self
        for source in _left(folder, file, former):
            found.add(reader._from_own(source))
            found.followed = True
        here = former.path if former and former.root == self.root else None
        for source in folder.tables:
            found.add(self._from_table(source, len(folder.tables), file.path, here))
        if former:
            for source in former.tables:
                if here is None or source not in folder.tables:
                    found.add(reader._from_table(source, len(former.tables), None, former.path))
        found.finish(self.settings)
        return found

    def could_read(self, folder: Folder, file: FoundFile, former: Former | None = None) -> bool:
        """Whether none of the file's sources failed to be read: one that did is looked at again next time."""
        failed = [self.failures.get(source.path) for source in (*_own(folder, file), *folder.tables)]
        if former:
            left = self._reader(former.root).failures
            failed += [left.get(source.path) for source in (*_left(folder, file, former), *former.tables)]
        return not any(error is not None and error.stage == "read" for error in failed)

    def has_own(self, folder: Folder, file: FoundFile) -> bool:
        """Whether a sidecar speaks of this file alone."""
        return bool(_own(folder, file))

    def _reader(self, root: Path) -> "CaptionReader":
        """Of another root, whose own scan tells what is wrong with its tables."""
        if root == self.root:
            return self
        return self._others.setdefault(root, CaptionReader(root, self.settings))

    def unmatched(self, besides: Iterable[FoundFile] = ()) -> None:
        """Add to `failures` how many lines of each table that was read name no file. At the end of a scan.

        besides: tables that are asked the same though no picture asked for them.
        """
        for source in besides:
            if source.path not in self.looked_at:
                self._tables[source.path] = self._open(source)
                self._drop_oldest()
        while self._tables:
            self._drop_oldest()
        self.close()

    def close(self) -> None:
        """Let go of the tables, without looking for what they name."""
        for other in self._others.values():
            other.close()
        while self._tables:
            table, _ = self._tables.popitem()[1]
            if table is not None:
                table.close()

    def _from_own(self, source: FoundFile) -> Captions:
        self.looked_at.add(source.path)
        try:
            said = read_own(self.root, source, self.settings)
        except MediaError as error:
            self.failures[source.path] = error
            return Captions()
        if said.split and said.split not in SPLITS:
            reason = f"split {said.split!r} is none of train, val and test"
            self.failures[source.path] = MediaError("caption", reason, HINT)
        return said

    def _from_table(self, source: FoundFile, besides: int, path: str | None, formerly: str | None) -> Captions:
        """What a table says of a file at a path, which lay at another before. besides: how many are asked in turn."""
        if source.path not in self._tables:
            while len(self._tables) >= _OPEN_TABLES + besides:
                self._drop_oldest()
            self._tables[source.path] = self._open(source)
        self._tables.move_to_end(source.path)
        table, _ = self._tables[source.path]
        below = (within(source.path, one) if one is not None else None for one in (path, formerly))
        return table.find(*below) if table is not None else Captions()

    def _open(self, source: FoundFile) -> tuple[Table | None, _Complaints]:
        self.looked_at.add(source.path)
        self.failures.pop(source.path, None)
        complaints = _Complaints()
        table = None
        try:
            table = Table(self._rows(source, complaints))
        except sqlite3.Error as error:
            complaints.damage = MediaError("read", f"there is no room to sort it: {error}", "make room in TMPDIR")
        self._complain(source.path, complaints.error(), complaints)
        return table, complaints

    def _rows(self, source: FoundFile, complaints: _Complaints) -> Iterator[tuple[str, Captions, bool]]:
        """(picture, what is said of it, whether it should be there) of every row that can be used."""
        keys = SHARD_KEYS if is_shard_table(bare(source.path)) else NAME_KEYS
        noted = source_name(source.path)
        try:
            for where, row in read_rows(self.root, source, self.settings):
                try:
                    if isinstance(row, ValueError):
                        raise row
                    name, said = name_in(row, keys), said_in(row, noted, self.settings)
                except ValueError as error:
                    complaints.passed_over += 1
                    complaints.nameless += isinstance(error, Nameless)
                    complaints.first = complaints.first or f"{where}: {error}"
                    continue
                if said.split and said.split not in SPLITS:
                    complaints.splits += 1
                    complaints.first_split = complaints.first_split or f"{where}: {said.split!r}"
                complaints.used += 1
                yield name, said, row.get("status", "success") in ("success", None, "")
        except MediaError as error:
            complaints.damage = error

    def _drop_oldest(self) -> None:
        """Close the table that was not asked for longest, and tell of what it names in vain."""
        path, (table, complaints) = self._tables.popitem(last=False)
        if table is None:
            return
        if table.unused:
            formerly = (below for one in self._formerly(self.root) if (below := within(path, one)) is not None)
            mark_all(table, self.root, scopes(path), formerly)
        if table.unused:
            self._complain(path, complaints.error(table.unused, table.first_unused()), complaints)
        table.close()

    def _complain(self, path: str, error: MediaError | None, complaints: _Complaints) -> None:
        """Record what is wrong with a table. A metadata file that is whole and names no picture is not ours."""
        foreign = isinstance(complaints.damage, ForeignTable) or (complaints.nameless and not complaints.used)
        if error is not None and not (foreign and is_table(bare(path)) and bare(path).lower().startswith("metadata")):
            self.failures[path] = error


def _own(folder: Folder, file: FoundFile) -> list[FoundFile]:
    """The sidecars that speak of this file alone, in the order in which they are believed."""
    if folder.own is None:
        folder.own = {}
        for ending in OWN:
            for name, source in folder.sidecars.items():
                if name.lower().endswith(ending):
                    for key in describes(name):
                        folder.own.setdefault(key, []).append(source)
    if not folder.own:
        return []
    lists = [found for key in known_as(bare(file.path)) if (found := folder.own.get(key))]
    if len(lists) < 2:
        return lists[0] if lists else []
    once = {source.path: source for found in lists for source in found}
    return sorted(once.values(), key=lambda source: rank(source.path))


def _left(folder: Folder, file: FoundFile, former: Former | None) -> list[FoundFile]:
    """The sidecars where the file lay before, of those kinds of which none lies beside it now."""
    left = _own(former.folder, FoundFile(former.path, 0, 0)) if former else []
    here = {rank(source.path)[0] for source in _own(folder, file)} if left else set()
    return [source for source in left if rank(source.path)[0] not in here]


def _mark(source: FoundFile) -> str:
    return f"{source.path}:{source.size}:{source.mtime_ns}"
