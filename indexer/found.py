"""What a walk finds."""

from dataclasses import dataclass, field

from engine.errors import MediaError


@dataclass(slots=True)
class FoundFile:
    """A file of a walk: its path relative to the root, and what tells whether it changed."""

    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Folder:
    """What one folder holds. Paths are relative to the root.

    path: the folder's own, "" for the root. media: its files in the order of their names. sidecars: its caption files
    by name. tables: the caption tables that speak of its files: its own, then those of the folders above.
    failures: what could not be looked at. unread: the folder itself could not be; nothing below it is "gone".
    """

    path: str
    media: list[FoundFile] = field(default_factory=list)
    sidecars: dict[str, FoundFile] = field(default_factory=dict)
    tables: tuple[FoundFile, ...] = ()
    failures: dict[str, MediaError] = field(default_factory=dict)
    unread: bool = False
