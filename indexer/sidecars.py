"""Captions beside pictures: `NAME.txt` for `NAME.jpg`, and `captions.jsonl` for everything below its folder.

A line of captions.jsonl is an object: `image` (or file_name, filename, file, path) names the picture, relative to
the folder or by its bare name; `split` is kept; captions stand under a language's code (`en`, `zh`), or under
`captions`, `caption` or `text` in the first language of captions.languages; each is a string or a list of strings.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from engine.config import CaptionSettings
from engine.errors import MediaError
from engine.media import Facts
from engine.media.files import read_text
from indexer.found import Folder, FoundFile

TABLE = "captions.jsonl"
_NAME_KEYS = ("image", "file_name", "filename", "file", "path")
_PLAIN_KEYS = ("captions", "caption", "text")
_HINT = "see `captions` in the README for the forms that are read"


@dataclass(frozen=True, slots=True)
class CaptionText:
    """One caption: its words, language code and where it was read from."""

    text: str
    lang: str
    source: str


@dataclass(slots=True)
class Captions:
    """What the sidecars say of one file."""

    texts: list[CaptionText] = field(default_factory=list)
    split: str | None = None
    keywords: list[str] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)


def is_table(name: str) -> bool:
    """Whether a file of this name holds captions of many pictures."""
    return name == TABLE


def is_sidecar(name: str) -> bool:
    """Whether a file of this name may hold captions."""
    return is_table(name) or name.lower().endswith(".txt")


def stem(path: str) -> str:
    """The path without its ending: what a picture shares with its own caption files."""
    return path[: path.rfind(".")]


class CaptionReader:
    """Reads the sidecars of one root, each table once and only when a picture asks for it.

    looked_at: the sidecars read so far. failures: by path, what could not be read.
    """

    def __init__(self, root: Path, settings: CaptionSettings) -> None:
        self.root, self.settings = root, settings
        self.failures: dict[str, MediaError] = {}
        self.looked_at: set[str] = set()
        self._tables: dict[str, dict[str, Captions]] = {}

    def stamp(self, folder: Folder, file: FoundFile) -> str:
        """What changes when any caption source of the file does; empty when it has none."""
        if not folder.tables and not folder.sidecars:
            return ""
        return ";".join(f"{source.path}:{source.size}:{source.mtime_ns}" for source in self._sources(folder, file))

    def read(self, folder: Folder, file: FoundFile) -> Captions:
        """The captions of a file: of its own text file first, then of the tables above it, without repeats."""
        found = Captions()
        for source in self._sources(folder, file):
            self._add(
                found, self._from_table(source, file.path) if is_table(_name(source.path)) else self._from_text(source)
            )
        found.texts = list(dict.fromkeys(found.texts))[: self.settings.max_per_item]
        return found

    def could_read(self, folder: Folder, file: FoundFile) -> bool:
        """Whether none of the file's sources failed to be read: one that did is looked at again next time."""
        failed = (self.failures.get(source.path) for source in self._sources(folder, file))
        return not any(error is not None and error.stage == "read" for error in failed)

    def _add(self, found: Captions, more: Captions) -> None:
        limit = self.settings.max_characters
        cleaned = (CaptionText(_clean(c.text)[:limit], c.lang, c.source) for c in more.texts)
        found.texts += [caption for caption in cleaned if caption.text]
        found.split = found.split or more.split

    def _sources(self, folder: Folder, file: FoundFile) -> Iterator[FoundFile]:
        own = folder.sidecars.get(f"{stem(_name(file.path))}.txt")
        if own is not None and own.path != file.path:
            yield own
        yield from folder.tables

    def _lines(self, source: FoundFile) -> list[str]:
        self.looked_at.add(source.path)
        if source.size == 0:
            return []  # no captions is no failure
        try:
            return read_text(self.root / source.path, self.settings.max_bytes).split("\n")
        except MediaError as error:
            self.failures[source.path] = error
            return []

    def _from_text(self, source: FoundFile) -> Captions:
        lang = self.settings.languages[0]
        return Captions([CaptionText(line, lang, "txt") for line in self._lines(source)])

    def _from_table(self, source: FoundFile, path: str) -> Captions:
        if source.path not in self._tables:
            self._tables[source.path] = self._read_table(source)
        table = self._tables[source.path]
        below = path[source.path.rfind("/") + 1 :]  # relative to the folder of the table
        return table.get(below) or table.get(_name(path)) or Captions()

    def _read_table(self, source: FoundFile) -> dict[str, Captions]:
        table: dict[str, Captions] = {}
        wrong: list[str] = []
        for number, line in enumerate(self._lines(source), 1):
            if line.strip():
                try:
                    name, captions = self._parse(line)
                    self._add(table.setdefault(name, Captions()), captions)
                except (ValueError, RecursionError) as error:
                    wrong.append(f"line {number}: {error}")
        if wrong:
            self.failures[source.path] = MediaError(
                "caption", f"{len(wrong)} lines were passed over; {wrong[0]}", _HINT
            )
        return table

    def _parse(self, line: str) -> tuple[str, Captions]:
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("not a JSON object")
        name = next((row[key] for key in _NAME_KEYS if isinstance(row.get(key), str)), None)
        if not name:
            raise ValueError(f"names no picture under any of {', '.join(_NAME_KEYS)}")
        split = row.get("split")
        captions = Captions([], _clean(split)[:16] or None if isinstance(split, str) else None)
        for key in (*self.settings.languages, *_PLAIN_KEYS):
            lang = key if key in self.settings.languages else self.settings.languages[0]
            value = row.get(key, [])
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{key!r} is neither a string nor a list of strings")
            captions.texts += [CaptionText(text, lang, TABLE) for text in texts]
        return PurePosixPath(name).as_posix().removeprefix("./"), captions


def _clean(text: str) -> str:
    """The text on one line, without what a database or a terminal would choke on."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())


def _name(path: str) -> str:
    return path[path.rfind("/") + 1 :]
