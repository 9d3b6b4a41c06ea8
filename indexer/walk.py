"""Look at every file of a folder, folder by folder in a fixed order, without following links."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

from engine.errors import InvalidInput, MediaError
from engine.media import modality_of
from engine.media.files import read_text
from engine.types import Modality
from indexer.found import Folder, FoundFile
from indexer.sidecars import is_sidecar, is_table, stem

IGNORE_FILE = ".rebusignore"
_OWN = frozenset(("thumbs", "versions", "embeddings", "encoders", "training"))  # of a home that holds media too
_PASSED_OVER = frozenset(("@eaDir", "lost+found", "node_modules", "__pycache__"))
_LARGEST_IGNORE_FILE = 1 << 20
_DEEPEST = 128  # folders within folders


@dataclass(frozen=True, slots=True)
class _Rules:
    """Patterns to pass over, of the settings and of one ignore file, with the folder each is relative to."""

    levels: tuple[tuple[str, pathspec.GitIgnoreSpec], ...] = ()

    def match(self, path: str, *, folder: bool) -> bool:
        """The innermost file that says anything of a path decides, as git does."""
        for base, spec in reversed(self.levels):
            below = path[len(base) :] + ("/" if folder else "")
            said = spec.check_file(below).include
            if said is not None:
                return said
        return False


def walk(root: Path, start: Path, home: Path, exclude: Sequence[str] = ()) -> Iterator[Folder]:
    """Every folder from `start`, which is `root` or lies in it, down; its own files before those of folders below.

    Hidden names, service folders, the library's home, and what `exclude` (patterns as in .gitignore, relative to the
    root) or a .rebusignore names are passed over. Raises InvalidInput for a pattern that is none.
    """
    rules = _Rules((("", _patterns(exclude, "index.exclude")),)) if exclude else _Rules()
    above: tuple[FoundFile, ...] = ()
    for folder in reversed([p for p in start.parents if p == root or p.is_relative_to(root)] if start != root else []):
        rules = _with_ignore_file(root, folder, rules)
        above = _tables_in(root, folder) + above
    stack = [(start, above, rules)]
    while stack:
        place, above, rules = stack.pop()
        found, below, rules = _look_into(root, place, home, above, rules)
        yield found
        stack.extend((folder, found.tables, rules) for folder in reversed(below))


def _look_into(
    root: Path, place: Path, home: Path, above: tuple[FoundFile, ...], rules: _Rules
) -> tuple[Folder, list[Path], _Rules]:
    """The folder, the folders in it, and the rules that hold for them."""
    path = "" if place == root else os.path.relpath(place, root).replace(os.sep, "/")
    found, below = Folder(path, tables=above), list[Path]()
    try:
        with os.scandir(place) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        reason = f"the folder cannot be read: {error.strerror}"
        found.failures[shown(path) or "."] = MediaError("scan", reason, "check its rights")
        found.unread = True
        return found, below, rules
    if any(entry.name == IGNORE_FILE for entry in entries):
        rules = _with_ignore_file(root, place, rules)
    prefix = f"{path}/" if path else ""
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _PASSED_OVER:
            continue
        if not entry.is_dir(follow_symlinks=False):
            _look_at(root, entry, prefix, found, rules)
        elif Path(entry.path) != home and not (place == home and entry.name in _OWN):
            if rules.levels and rules.match(prefix + entry.name, folder=True):
                continue
            if shown(entry.name) != entry.name:
                found.failures[shown(prefix + entry.name)] = MediaError(
                    "scan", "its name is not valid UTF-8", "rename the folder"
                )
            elif path.count("/") + 2 > _DEEPEST:
                found.failures[prefix + entry.name] = MediaError(
                    "scan", f"more than {_DEEPEST} folders deep", "index that folder by itself"
                )
            else:
                below.append(Path(entry.path))
    found.tables = tuple(file for name, file in found.sidecars.items() if is_table(name)) + above
    _leave_captions_out(found)
    return found, below, rules


def _leave_captions_out(found: Folder) -> None:
    """A text file beside a picture of its name holds the picture's captions; any other is a document of its own."""
    described = {stem(file.path) for file in found.media if modality_of(file.path) is not Modality.TEXT}
    found.media = [
        file
        for file in found.media
        if modality_of(file.path) is not Modality.TEXT or not is_sidecar(file.path) or stem(file.path) not in described
    ]


def _look_at(root: Path, entry: os.DirEntry[str], prefix: str, found: Folder, rules: _Rules) -> None:
    media, sidecar = modality_of(entry.name) is not None, is_sidecar(entry.name)
    path = prefix + entry.name
    if entry.is_symlink():
        if media or entry.is_dir():
            _look_at_link(root, Path(entry.path), shown(path), found)
        return
    if not (media or sidecar) or (rules.levels and rules.match(path, folder=False)):
        return
    if shown(path) != path:
        found.failures[shown(path)] = MediaError("scan", "its name is not valid UTF-8", "rename the file")
        return
    try:
        facts = entry.stat(follow_symlinks=False)
    except OSError as error:
        found.failures[path] = MediaError("scan", f"it cannot be looked at: {error.strerror}", "check the disk")
        return
    file = FoundFile(path, facts.st_size, facts.st_mtime_ns)
    if sidecar:
        found.sidecars[entry.name] = file
    if media:
        found.media.append(file)


def _look_at_link(root: Path, link: Path, path: str, found: Folder) -> None:
    """A link is a failure when broken or leading out of the root; one within it points at what is indexed anyway."""
    hint = "links are not followed: put the file itself here, or index the folder it lies in"
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        found.failures[path] = MediaError("scan", "a broken link", "mend or remove the link")
        return
    if not target.is_relative_to(root):
        found.failures[path] = MediaError("scan", "a link out of the media folder", hint)


def _tables_in(root: Path, folder: Path) -> tuple[FoundFile, ...]:
    """The caption tables of a folder above the start of a walk."""
    found = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_table(entry.name) and entry.is_file(follow_symlinks=False):
            facts = entry.stat(follow_symlinks=False)
            path = Path(entry.path).relative_to(root).as_posix()
            found.append(FoundFile(path, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def _with_ignore_file(root: Path, folder: Path, rules: _Rules) -> _Rules:
    """The rules with those of the folder's ignore file, when it has one that can be read."""
    try:
        lines = read_text(folder / IGNORE_FILE, _LARGEST_IGNORE_FILE).splitlines()
    except MediaError:
        return rules
    base = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    return _Rules((*rules.levels, (base, _patterns(lines, str(folder / IGNORE_FILE)))))


def _patterns(lines: Sequence[str], source: str) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InvalidInput(f"{source} holds a pattern that cannot be read: {error}") from None


def shown(path: str) -> str:
    """The path as text that every database and terminal takes; bytes that are not UTF-8 as \\xNN."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "backslashreplace")
