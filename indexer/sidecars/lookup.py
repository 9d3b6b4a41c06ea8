"""A caption table by the names of the pictures it speaks of, in a temporary database: its size bounds no memory."""

import json
import os
import posixpath
import re
import sqlite3
import unicodedata
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

from engine.errors import MediaError
from engine.media import Facts
from engine.media.files import list_shard
from engine.media.values import one_line
from indexer.sidecars.names import bare, stem
from indexer.sidecars.said import NO_FACTS, Captions, CaptionText

_MOST_ROWS_OF_ONE = 1000  # that are looked at for one picture
_ABSOLUTE = re.compile(r"/|[a-z][a-z0-9+.-]{0,15}:/", re.ASCII | re.IGNORECASE)  # a drive's path or an address, too
_FACTS = tuple(each.name for each in fields(Facts))


class Table:
    """What a table says, by picture. Its memory is a byte a row and SQLite's cache.

    A file is known by its path relative to the folder of the table, or by the end of it down to its bare name, with
    or without its ending; and by an absolute path of the table that ends in its path, if there is only one.
    """

    def __init__(self, rows: Iterable[tuple[str, Captions, bool]]) -> None:
        """rows: a picture's name, what is said of it, and whether the picture should be there."""
        self._database = sqlite3.connect("", check_same_thread=False)  # a file without a name, once it is large
        self.close = weakref.finalize(self, self._database.close)
        self._used = bytearray()
        self._absolute = False
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE said (row INTEGER PRIMARY KEY, tail TEXT, said TEXT)")
        self._database.executemany("INSERT INTO said VALUES (?, ?, ?)", self._take_in(rows))
        self._database.execute("CREATE INDEX tails ON said (tail)")
        self.unused = self._used.count(0)

    def _take_in(self, rows: Iterable[tuple[str, Captions, bool]]) -> Iterator[tuple[int, str, str]]:
        for number, (name, said, expected) in enumerate(rows):
            path = _normal(name)
            self._absolute = self._absolute or _is_absolute(path)
            self._used.append(not expected)
            yield number, path[::-1], _packed(said)

    def find(self, below: str | None, formerly: str | None = None) -> Captions:
        """What the table says of the file at a path relative to its folder, None when it lies in another.

        formerly: the path at which it lay before: the row of that one follows it, but for one that names it now.
        """
        found = Captions()
        rows = self._exactly(below := _normal(below)) if below is not None else []
        found.by_name = bool(rows)
        if not rows and formerly is not None:
            rows = self._rows(_normal(formerly))
            found.followed = bool(rows)
        if not rows and below is not None:
            rows = self._rows(below)
        for number, said in rows:
            self.unused -= not self._used[number]
            self._used[number] = 1
            found.add(_unpacked(said))
        return found

    def _rows(self, below: str) -> list[tuple[int, str]]:
        rows = self._exactly(below) or (self._ending_in(below) if self._absolute else [])
        for shorter in () if rows else _shorter(below):
            if rows := self._exactly(shorter):
                break
        return rows

    def first_unused(self) -> str:
        """The name in the first row that no file was found for. Raises ValueError when there is none."""
        number = self._used.index(0)
        (tail,) = self._database.execute("SELECT tail FROM said WHERE row = ?", (number,)).fetchone()
        return one_line(str(tail)[::-1], 200)

    def _exactly(self, path: str) -> list[tuple[int, str]]:
        query = f"SELECT row, said FROM said WHERE tail = ? ORDER BY row LIMIT {_MOST_ROWS_OF_ONE}"
        return self._database.execute(query, (path[::-1],)).fetchall()

    def _ending_in(self, path: str) -> list[tuple[int, str]]:
        """The rows of the one absolute path that ends in this one."""
        first = f"{path[::-1]}/"
        query = "SELECT row, said, tail FROM said WHERE tail >= ? AND tail < ? ORDER BY row LIMIT ?"
        rows = self._database.execute(query, (first, f"{first[:-1]}0", _MOST_ROWS_OF_ONE)).fetchall()  # 0 follows /
        rows = [row for row in rows if _is_absolute(row[2][::-1])]
        return [row[:2] for row in rows] if len({row[2] for row in rows}) == 1 else []


def mark_all(table: Table, root: Path, scopes: Iterable[str], formerly: Iterable[str]) -> None:
    """Look every file of the table's folders up in it, until no row is left without one.

    formerly: paths, relative to its folders, at which files lay that are elsewhere now: rows follow them.
    """
    for path in formerly:
        table.find(path)
    for scope in scopes:
        for path in _files_below(root, scope.removesuffix("/")):
            if not table.unused:
                return
            table.find(path)


def _files_below(root: Path, folder: str) -> Iterator[str]:
    """The path, relative to a folder, of every file below it and in the tars there, following no link."""
    stack = [""]
    while stack:
        below = stack.pop()
        place = root / folder / below
        if place.suffix.lower() == ".tar" and place.is_file():
            yield from (f"{below}/{name}" if below else name for name in _members(place))
            continue
        try:
            with os.scandir(place) as listing:
                for entry in listing:
                    path = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_dir(follow_symlinks=False) or entry.name.lower().endswith(".tar"):
                        stack.append(path)
                    else:
                        yield path
        except OSError:
            continue


def _members(tar: Path) -> Iterable[str]:
    try:
        shard = list_shard(tar)
    except MediaError:
        return ()
    return shard.members if shard else ()


def _shorter(below: str) -> Iterator[str]:
    """The ends of a path down to its bare name, then all of these without the name's ending."""
    ends = [below]
    while (cut := ends[-1].find("/")) >= 0:
        ends.append(ends[-1][cut + 1 :])
    yield from ends[1:]
    yield from (stem(end) for end in ends if "." in bare(end))


def _normal(path: str) -> str:
    """One form of a path that may have been written on another system."""
    if not path.isascii():
        path = unicodedata.normalize("NFC", path.encode("utf-8", "replace").decode())
    if "\\" in path and "/" not in path:
        path = path.replace("\\", "/")
    return path if path.isalnum() else posixpath.normpath(path)


def _is_absolute(path: str) -> bool:
    return _ABSOLUTE.match(path) is not None


def _packed(said: Captions) -> str:
    facts = None
    if said.facts is not NO_FACTS:
        facts = {name: value for name in _FACTS if (value := getattr(said.facts, name)) not in (None, ())}
    texts = [(each.text, each.lang, each.source) for each in said.texts]
    return json.dumps((texts, said.split, facts, said.source))


def _unpacked(row: str) -> Captions:
    texts, split, said, source = json.loads(row)
    facts = Facts(**{**said, "keywords": tuple(said.get("keywords", ()))}) if said else NO_FACTS
    return Captions([CaptionText(*text) for text in texts], split, facts, source)
