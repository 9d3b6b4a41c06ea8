"""What a walk finds."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import MediaError

_LAST_NS = 2**63 - 1


@dataclass(slots=True)
class FoundFile:
    """A file of a walk: its path relative to the root, and what tells whether it changed.

    A member of a tar has the tar's path before its own name, its own size, and the tar's mtime.
    """

    path: str
    size: int
    mtime_ns: int


def file_of(path: str, facts: os.stat_result) -> FoundFile:
    """A file as the system has it. A time past 2262 is cut to the last that a database takes."""
    return FoundFile(path, facts.st_size, max(-_LAST_NS, min(facts.st_mtime_ns, _LAST_NS)))


@dataclass(slots=True)
class Folder:
    """What one folder holds, or a tar that is read as one. Paths are relative to the root.

    path: the folder's own, "" for the root. media: its files in the order of their names. sidecars: its caption files
    by name. tables: the caption tables that speak of its files: its own, then those of the folders above.
    failures: what could not be looked at. unread: the folder itself could not be; nothing below it is "gone".
    mounted: it lies on another device than the folder above: a drive's place.
    own, tables_stamp: of the caption reader, which makes them once a folder.
    """

    path: str
    media: list[FoundFile] = field(default_factory=list)
    sidecars: dict[str, FoundFile] = field(default_factory=dict)
    tables: tuple[FoundFile, ...] = ()
    failures: dict[str, MediaError] = field(default_factory=dict)
    unread: bool = False
    mounted: bool = False
    own: dict[str, list[FoundFile]] | None = field(default=None, repr=False)
    tables_stamp: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Former:
    """Where a file lay before it moved: the root, its path there, and the caption tables that speak of that path.

    folder: that of the path, with the sidecars that were left in it.
    """

    root: Path
    path: str
    tables: tuple[FoundFile, ...]
    folder: Folder


def shown(path: str) -> str:
    """The path as text that every database and terminal takes; bytes that are not UTF-8 as \\xNN."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")
