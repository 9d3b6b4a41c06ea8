"""What goes with the rows of features: names, captions, splits and categories, read as the captions of a scan are."""

import json
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.config import CaptionSettings
from engine.errors import InvalidInput, MediaError
from engine.media.files import open_file
from engine.media.values import one_line
from indexer.found import FoundFile
from indexer.sidecars.names import is_shard_table
from indexer.sidecars.rows import NAME_KEYS, SPLITS, name_in, said_in
from indexer.sidecars.said import CaptionText
from indexer.sidecars.tables import SHARD_KEYS, read_rows, source_name

ENDINGS = (".jsonl", ".csv", ".parquet")
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Record:
    """What is said of one row of image features.

    name: the picture's, as it was written. where: what a message calls the row. numbers: of each caption, in the order
    of the file they were read from: the row of its vector, when vectors of all captions are there.
    """

    name: str
    where: str
    texts: tuple[CaptionText, ...] = ()
    numbers: tuple[int, ...] = ()
    split: str | None = None
    category: str | None = None


Records = Callable[[], Iterator[Record]]
"""Reads records anew, in the order of the rows of image features."""


def read_table(path: Path, settings: CaptionSettings, start: int = 0) -> Iterator[Record]:
    """The rows of a table; `start` numbers the first caption. Raises InvalidInput for a row that cannot be used."""
    if path.suffix.lower() not in ENDINGS:
        raise InvalidInput(f"{path} is no table that is known: use {', '.join(ENDINGS)}")
    try:
        facts = path.stat()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    keys = (*SHARD_KEYS, *NAME_KEYS) if is_shard_table(path.name) else NAME_KEYS
    source = source_name(path.name)
    try:
        for where, row in read_rows(path.parent, FoundFile(path.name, facts.st_size, facts.st_mtime_ns), settings):
            place = f"{path.name}, {where}"
            try:
                if isinstance(row, ValueError):
                    raise row
                said, name, category = said_in(row, source, settings), name_in(row, keys), _category(row)
                if said.split and said.split not in SPLITS:
                    raise ValueError(f"split {said.split!r} is none of train, val and test")
            except ValueError as error:
                raise InvalidInput(f"{place}: {error}") from None
            numbers = tuple(range(start, start + len(said.texts)))
            start += len(numbers)
            yield Record(name, place, tuple(said.texts), numbers, said.split, category)
    except MediaError as error:
        raise InvalidInput(f"{path}: {error}") from None


def read_names(path: Path) -> Iterator[Record]:
    """A name a line, in UTF-8. Raises InvalidInput."""
    try:
        with open_file(path, os.stat(path).st_size) as file:
            number = 0
            while line := file.readline(_LONGEST_NAME):
                number += 1
                place = f"{path.name}, line {number:,}"
                try:
                    name = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                except UnicodeDecodeError:
                    raise InvalidInput(f"{place} is not UTF-8 text") from None
                yield Record(name, place)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except MediaError as error:
        raise InvalidInput(f"{path}: {error}") from None


class Described:
    """A table by the names of its pictures, in a temporary database: its size bounds no memory.

    rows, captions: how many it has.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._database = sqlite3.connect("", check_same_thread=False)  # a file without a name, once it is large
        self.close = weakref.finalize(self, self._database.close)
        self.rows = self.captions = 0
        self._database.execute("CREATE TABLE said (row INTEGER PRIMARY KEY, name TEXT, said TEXT)")
        self._database.executemany("INSERT INTO said (name, said) VALUES (?, ?)", self._take_in(records))
        self._database.execute("CREATE INDEX names ON said (name)")

    def _take_in(self, records: Iterable[Record]) -> Iterator[tuple[str, str]]:
        for record in records:
            self.rows += 1
            self.captions += len(record.texts)
            yield _packed(record)

    def add_to(self, record: Record) -> tuple[Record, int]:
        """The record of a name with all that the table says of it, and how many rows say so."""
        query = "SELECT said FROM said WHERE name = ? ORDER BY row"
        found = self._database.execute(query, (normal(record.name),)).fetchall()
        texts, numbers, split, category = list(record.texts), list(record.numbers), record.split, record.category
        for (said,) in found:
            more, several, its_split, its_category = json.loads(said)
            texts += [CaptionText(*each) for each in more]
            numbers += several
            split, category = split or its_split, category or its_category
        return Record(record.name, record.where, tuple(texts), tuple(numbers), split, category), len(found)


def normal(name: str) -> str:
    """One form of a name that may have been written on another system."""
    return PurePosixPath(name if "/" in name else name.replace("\\", "/")).as_posix()


def _packed(record: Record) -> tuple[str, str]:
    texts = [(each.text, each.lang, each.source) for each in record.texts]
    said = json.dumps((texts, record.numbers, record.split, record.category))
    return normal(record.name).encode("utf-8", "replace").decode(), said


def _category(row: dict[str, object]) -> str | None:
    value = row.get("category")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"category {value!r} is neither a string nor a whole number")
    return one_line(str(value), 200) or None
