"""Captions beside pictures: `NAME.txt` for `NAME.jpg`, and `captions.jsonl` for everything below its folder.

A line of captions.jsonl is an object: `image` (or file_name, filename, file, path) names the picture, relative to
the folder or by its bare name; `split` is kept; captions stand under a language's code (`en`, `zh`), or under
`captions`, `caption` or `text` in the first language of captions.languages; each is a string or a list of strings.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from engine.config import CaptionSettings
from engine.errors import MediaError
from engine.media import read_text

TABLE = "captions.jsonl"
_NAME_KEYS = ("image", "file_name", "filename", "file", "path")
_PLAIN_KEYS = ("captions", "caption", "text")
_HINT = "see `captions` in the README for the forms that are read"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file of a walk: its path relative to the root, and what tells whether it changed."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class CaptionText:
    """One caption: its words, language code and where it was read from."""

    text: str
    lang: str
    source: str


@dataclass(slots=True)
class Captions:
    """What the sidecars say of one picture."""

    texts: list[CaptionText] = field(default_factory=list)
    split: str | None = None


def is_sidecar(name: str) -> bool:
    """Whether a file of this name may hold captions."""
    return name == TABLE or name.lower().endswith(".txt")


class CaptionReader:
    """Reads the sidecars of one root, each table once and only when a picture asks for it.

    looked_at: the sidecars read so far. failures: by path, what could not be read.
    """

    def __init__(self, root: Path, sidecars: Mapping[str, FoundFile], settings: CaptionSettings) -> None:
        """sidecars: the walk's caption files by path relative to the root."""
        self.root, self.sidecars, self.settings = root, sidecars, settings
        self.failures: dict[str, MediaError] = {}
        self.looked_at: set[str] = set()
        self._tables: dict[str, dict[str, Captions]] = {}

    def stamp(self, picture: str) -> str:
        """What changes when any caption source of the picture does; empty when it has none."""
        parts = [(path, self.sidecars[path]) for path in self._sources(picture)]
        return ";".join(f"{path}:{file.size}:{file.mtime_ns}" for path, file in parts)

    def read(self, picture: str) -> Captions:
        """The captions of a picture: of its own text file first, then of the tables above it, without repeats."""
        found = Captions()
        for path in self._sources(picture):
            self._add(found, self._from_table(path, picture) if _is_table(path) else self._from_text(path))
        found.texts = list(dict.fromkeys(found.texts))[: self.settings.max_per_item]
        return found

    def could_read(self, picture: str) -> bool:
        """Whether none of the picture's sources failed to be read: one that did is looked at again next time."""
        failed = (self.failures.get(path) for path in self._sources(picture))
        return not any(error is not None and error.stage == "read" for error in failed)

    def _add(self, found: Captions, more: Captions) -> None:
        limit = self.settings.max_characters
        cleaned = (CaptionText(_clean(c.text)[:limit], c.lang, c.source) for c in more.texts)
        found.texts += [caption for caption in cleaned if caption.text]
        found.split = found.split or more.split

    def _sources(self, picture: str) -> Iterator[str]:
        path = PurePosixPath(picture)
        own = path.with_suffix(".txt").as_posix()
        if own in self.sidecars:
            yield own
        for folder in path.parents:
            table = (folder / TABLE).as_posix()
            if table in self.sidecars:
                yield table

    def _lines(self, path: str) -> list[str]:
        self.looked_at.add(path)
        if self.sidecars[path].size == 0:
            return []  # no captions is no failure
        try:
            return read_text(self.root / path, self.settings.max_bytes).split("\n")
        except MediaError as error:
            self.failures[path] = error
            return []

    def _from_text(self, path: str) -> Captions:
        lang = self.settings.languages[0]
        return Captions([CaptionText(line, lang, "txt") for line in self._lines(path)])

    def _from_table(self, path: str, picture: str) -> Captions:
        if path not in self._tables:
            self._tables[path] = self._read_table(path)
        table = self._tables[path]
        below = PurePosixPath(picture).relative_to(PurePosixPath(path).parent).as_posix()
        return table.get(below) or table.get(PurePosixPath(picture).name) or Captions()

    def _read_table(self, path: str) -> dict[str, Captions]:
        table: dict[str, Captions] = {}
        wrong: list[str] = []
        for number, line in enumerate(self._lines(path), 1):
            if line.strip():
                try:
                    name, captions = self._parse(line)
                    self._add(table.setdefault(name, Captions()), captions)
                except (ValueError, RecursionError) as error:
                    wrong.append(f"line {number}: {error}")
        if wrong:
            self.failures[path] = MediaError("caption", f"{len(wrong)} lines were passed over; {wrong[0]}", _HINT)
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


def _is_table(path: str) -> bool:
    return PurePosixPath(path).name == TABLE
