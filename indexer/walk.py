"""Look at every file of a folder, in a fixed order, without following links."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import MediaError
from engine.media import SUFFIXES
from indexer.sidecars import TABLE, FoundFile, is_sidecar

_OWN = frozenset(("thumbs", "versions", "embeddings", "encoders", "training"))  # of a home that holds media too
_PASSED_OVER = frozenset(("@eaDir", "lost+found", "node_modules", "__pycache__"))


@dataclass(slots=True)
class Walk:
    """Pictures and caption files of a folder, and what could not be looked at, by path relative to the root."""

    pictures: list[FoundFile] = field(default_factory=list)
    sidecars: dict[str, FoundFile] = field(default_factory=dict)
    failures: dict[str, MediaError] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)  # folders that could not be read: nothing below them is "gone"


def walk(root: Path, start: Path, home: Path) -> Walk:
    """Walk `start`, a folder in `root`. Hidden names, service folders and the library's home are passed over."""
    seen, stack = Walk(), [start]
    _see_tables_above(root, start, seen)
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            path = _shown(folder.relative_to(root).as_posix())
            seen.failures[path] = MediaError("scan", f"the folder cannot be read: {error.strerror}", "check its rights")
            seen.unread.append("" if path == "." else f"{path}/")
            continue
        below = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _PASSED_OVER:
                continue
            if not entry.is_dir(follow_symlinks=False):
                _look_at(root, entry, seen)
            elif Path(entry.path) != home and not (folder == home and entry.name in _OWN):
                below.append(Path(entry.path))
        stack.extend(reversed(below))
    return seen


def _see_tables_above(root: Path, start: Path, seen: Walk) -> None:
    """The pictures of a subfolder may have captions in tables of the folders above it."""
    while start != root:
        start = start.parent
        table = start / TABLE
        if table.is_file() and not table.is_symlink():
            path, facts = table.relative_to(root).as_posix(), table.stat()
            seen.sidecars[path] = FoundFile(path, facts.st_size, facts.st_mtime_ns)


def _look_at(root: Path, entry: os.DirEntry[str], seen: Walk) -> None:
    path = Path(entry.path).relative_to(root).as_posix()
    picture = Path(entry.name).suffix.lower() in SUFFIXES
    if entry.is_symlink():
        if picture or entry.is_dir():
            _look_at_link(root, Path(entry.path), _shown(path), seen)
    elif picture or is_sidecar(entry.name):
        if _shown(path) != path:
            seen.failures[_shown(path)] = MediaError("scan", "its name is not valid UTF-8", "rename the file")
            return
        try:
            facts = entry.stat(follow_symlinks=False)
        except OSError as error:
            seen.failures[path] = MediaError("scan", f"it cannot be looked at: {error.strerror}", "check the disk")
            return
        file = FoundFile(path, facts.st_size, facts.st_mtime_ns)
        if picture:
            seen.pictures.append(file)
        else:
            seen.sidecars[path] = file


def _look_at_link(root: Path, link: Path, path: str, seen: Walk) -> None:
    """A link is a failure when broken or leading out of the root; one within it points at what is indexed anyway."""
    hint = "links are not followed: put the file itself here, or index the folder it lies in"
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        seen.failures[path] = MediaError("scan", "a broken link", "mend or remove the link")
        return
    if not target.is_relative_to(root):
        seen.failures[path] = MediaError("scan", "a link out of the media folder", hint)


def _shown(path: str) -> str:
    """The path as text that every database and terminal takes; bytes that are not UTF-8 as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
