"""A feature library is looked through, from end to end, before anything of it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

import numpy as np

from engine.config import CaptionSettings
from engine.errors import InvalidInput
from engine.types import I64
from indexer.imports.layouts import Library
from indexer.imports.tables import Record, normal
from indexer.jobs import Tell
from indexer.sidecars.rows import clean
from indexer.sidecars.said import CaptionText

_TOLD = 5000  # rows between two words of progress


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of image features as it is imported: words are captions, each with the row of its vector if it has one."""

    path: str
    split: str | None
    category: str | None
    words: tuple[tuple[CaptionText, int | None], ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A library that can be imported. captions: how many it has. unmatched: rows of its table that name no picture.

    order: what the rows of text vectors follow: the captions, the pictures (one each), or `owners`; None without any.
    """

    library: Library
    captions: int
    unmatched: int
    order: Literal["captions", "pictures", "owners"] | None

    def entries(self, settings: CaptionSettings) -> Iterator[Entry]:
        """Every row of image features, in order. Captions are kept once each, as many as the settings say."""
        owned = _Owned(self.library.owners) if self.library.owners is not None else None
        for row, (record, _) in enumerate(_records(self.library)):
            words = list(record.texts)
            if self.order == "captions":
                vectors = list(record.numbers)
            elif self.order == "pictures":
                vectors = [row]
            else:
                vectors = owned.of(row).tolist() if owned else []
            if not words and self.captions:  # a blank caption
                vectors = []
            if vectors and not words:  # vectors of a library without words are known by their pictures' names
                name = clean(PurePosixPath(normal(record.name)).name, settings)
                lang = settings.languages[0]
                words = [CaptionText(f"{name} ({n})" if n else name, lang, "name") for n in range(len(vectors))]
            once: dict[tuple[str, str], tuple[CaptionText, int | None]] = {}
            rows: list[int | None] = [*vectors] or [None] * len(words)
            for each, vector in zip(words, rows, strict=True):
                once.setdefault((each.text, each.lang), (each, vector))
            kept = tuple(once.values())[: settings.max_per_item]
            yield Entry(inside(record, self.library.media), record.split, record.category, kept)


class _Owned:
    """The rows of text vectors by the picture they belong to."""

    def __init__(self, owners: I64) -> None:
        self.order = np.argsort(owners, kind="stable")
        self.sorted = owners[self.order]

    def of(self, row: int) -> I64:
        first, last = np.searchsorted(self.sorted, [row, row + 1])
        return self.order[first:last]


def check(library: Library, tell: Tell) -> Checked:
    """Look at every number and every name. Raises InvalidInput for the first that cannot be imported."""
    rows, owned = 0, _Owned(library.owners) if library.owners is not None else None
    captions = most = matched = 0
    seen: dict[bytes, int] = {}
    odd: tuple[str, int, int] | None = None
    for record, said in _records(library):
        path = inside(record, library.media)
        first = seen.setdefault(blake2b(path.encode(), digest_size=16).digest(), rows)
        if first != rows:
            raise InvalidInput(f"{record.where} names {path!r}, as row {first:,} does: a picture has one row")
        if owned is not None and odd is None and len(vectors := owned.of(rows)) != len(record.texts):
            odd = record.where, len(vectors), len(record.texts)
        captions, most = captions + len(record.texts), max(most, len(record.texts))
        matched, rows = matched + said, rows + 1
        if rows % _TOLD == 0:
            tell("checking names", rows, len(library.images))
    if rows != len(library.images):
        raise InvalidInput(f"{rows:,} names or rows of metadata for {len(library.images):,} rows of image features")
    if owned is not None and odd and captions:
        raise InvalidInput(f"{odd[0]} has {odd[1]:,} text vectors for {odd[2]:,} captions")
    order = _order(library, captions, most)
    unmatched = library.described.rows - matched if library.described else 0
    if library.described and library.described.rows and not matched:
        raise InvalidInput("the captions name none of the pictures: their names must be written alike")
    library.images.check("image features", tell)
    if library.texts is not None:
        library.texts.check("text features", tell)
    return Checked(library, captions, unmatched, order)


def _order(library: Library, captions: int, most: int) -> Literal["captions", "pictures", "owners"] | None:
    if library.texts is None:
        return None
    if library.owners is not None:
        return "owners"
    table = library.described.captions if library.described else captions
    if len(library.texts) == table and table:
        return "captions"
    if len(library.texts) == len(library.images) and most <= 1:
        return "pictures"
    raise InvalidInput(
        f"{len(library.texts):,} text vectors fit neither {table:,} captions nor {len(library.images):,} pictures. "
        "Blank captions, and languages not in captions.languages, do not count"
    )


def _records(library: Library) -> Iterator[tuple[Record, int]]:
    """Each record with all that is said of it, and how many rows of a table by name say so."""
    for record in library.records():
        yield library.described.add_to(record) if library.described else (record, 0)


def inside(record: Record, media: Path) -> str:
    """The path of a picture relative to the media folder. Raises InvalidInput for one that leads out of it."""
    name = normal(record.name.strip())
    if "\0" in name or not _is_utf8(name):
        raise InvalidInput(f"{record.where}: {name!r} cannot be the name of a file")
    path = PurePosixPath(name)
    if path.is_absolute() and path.is_relative_to(media.as_posix()):
        path = path.relative_to(media.as_posix())
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise InvalidInput(f"{record.where}: {name!r} lies outside of {media}: name the pictures' folder, --media")
    if not path.parts:
        raise InvalidInput(f"{record.where} names no picture")
    return path.as_posix()


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
