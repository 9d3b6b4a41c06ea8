"""Look at every file of a folder, folder by folder in a fixed order, without following links."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import MediaError
from engine.media import modality_of
from engine.media.files import TAR
from indexer.folders import leave_captions_out, sort_in, tables_of
from indexer.found import Folder, FoundFile, file_of, shown
from indexer.rules import IGNORE_FILE, Rules, rules_of, with_ignore_file
from indexer.shards import look_into_tar, places_tables, table_of_shard, tables_above
from indexer.sidecars.names import PLACES_FOLDER, is_sidecar

_OWN = frozenset(("thumbs", "versions", "embeddings", "encoders", "training"))  # of a home that holds media too
_PASSED_OVER = frozenset(("@eaDir", "lost+found", "node_modules", "__pycache__"))
_DEEPEST = 128  # folders within folders


@dataclass(slots=True)
class _Place:
    """Where the walk goes next: a folder, or the tar that is to be read as one."""

    folder: Path
    above: tuple[FoundFile, ...]
    rules: Rules
    tar: FoundFile | None = None
    device: int | None = None  # of the folder above


def walk(root: Path, start: Path, home: Path, exclude: Sequence[str] = ()) -> Iterator[Folder]:
    """Every folder from `start`, which is `root` or lies in it, down; its own files before those of folders below.

    Hidden names, service folders, the library's home, and what `exclude` (patterns as in .gitignore, relative to the
    root) or a .rebusignore names are passed over; so is a folder whose .rebusignore cannot be used, with the reason.
    A tar of pictures counts as a folder. Raises InvalidInput for a pattern that is none.
    """
    rules = rules_of(exclude)
    folder = root
    for part in start.relative_to(root).parts:
        try:
            rules = with_ignore_file(root, folder, rules)
        except MediaError as error:
            yield _closed(root, start, folder, error)
            return
        folder /= part
        if rules.levels and rules.match(folder.relative_to(root).as_posix(), folder=True):
            return  # an ignore file further down does not bring back what is in an ignored folder
    device = None if start == root else _device_of(start.parent)
    stack = [_Place(start, tables_above(root, start), rules, _as_tar(root, start), device)]
    while stack:
        place = stack.pop()
        if place.tar is not None:
            yield from look_into_tar(root, place.tar, place.above, place.rules)
            continue
        found, below = _look_into(root, place, home)
        yield found
        stack.extend(reversed(below))


def is_passed_over(name: str) -> bool:
    """Whether no walk looks at what is called so, or below it: hidden, or a folder of a service."""
    return name.startswith(".") or name in _PASSED_OVER


def _as_tar(root: Path, start: Path) -> FoundFile | None:
    """A walk may start at a tar."""
    if not start.name.lower().endswith(TAR) or start.is_symlink() or not start.is_file():
        return None
    return file_of(start.relative_to(root).as_posix(), start.stat())


def _device_of(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:  # gone in this moment
        return None


def _look_into(root: Path, place: _Place, home: Path) -> tuple[Folder, list[_Place]]:
    """The folder, and where to go from it."""
    path = "" if place.folder == root else os.path.relpath(place.folder, root).replace(os.sep, "/")
    found, below = Folder(path, tables=place.above), list[tuple[str, FoundFile | None]]()
    try:
        with os.scandir(place.folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        if not os.access(place.folder, os.X_OK):  # its names can be read, and nothing can be looked at
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = f"the folder cannot be read: {error.strerror}"
        found.failures[shown(path) or "."] = MediaError("scan", reason, "check its rights")
        found.unread = True
        return found, []
    device = _device_of(place.folder)
    found.mounted = None not in (device, place.device) and device != place.device
    rules = place.rules
    if any(entry.name == IGNORE_FILE for entry in entries):
        try:
            rules = with_ignore_file(root, place.folder, rules)
        except MediaError as error:
            return _closed(root, place.folder, place.folder, error), []
    prefix = f"{path}/" if path else ""
    for entry in entries:
        if is_passed_over(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            own = Path(entry.path) == home or (place.folder == home and entry.name in _OWN)
            if not own and _may_enter(prefix + entry.name, found, rules):
                below.append((entry.name, None))
        elif (file := _look_at(root, entry, prefix, found, rules)) is not None:
            if entry.name.lower().endswith(TAR):
                below.append((entry.name, file))
            else:
                sort_in(found, file)
    clips = places_tables(root, place.folder) if (PLACES_FOLDER, None) in below else ()
    found.tables = tables_of(found) + clips + place.above
    places = [
        _Place(place.folder / name, table_of_shard(found, name) + found.tables, rules, tar, device)
        for name, tar in below
    ]
    leave_captions_out(found, (entry.name for entry in entries))
    return found, places


def _closed(root: Path, folder: Path, where: Path, error: MediaError) -> Folder:
    """A folder that is passed over because of the ignore file in `where`: what it was meant to hide is not known."""
    path = folder.relative_to(root).as_posix()
    failures = {(where / IGNORE_FILE).relative_to(root).as_posix(): error}
    return Folder("" if path == "." else path, failures=failures, unread=True)


def _may_enter(path: str, found: Folder, rules: Rules) -> bool:
    """Whether the walk goes into a folder; if it cannot, the reason is noted."""
    if rules.levels and rules.match(path, folder=True):
        return False
    if shown(path) != path:
        found.failures[shown(path)] = MediaError("scan", "its name is not valid UTF-8", "rename the folder")
    elif path.count("/") + 1 > _DEEPEST:
        found.failures[path] = MediaError("scan", f"more than {_DEEPEST} folders deep", "index that folder by itself")
    else:
        return True
    return False


def _look_at(root: Path, entry: os.DirEntry[str], prefix: str, found: Folder, rules: Rules) -> FoundFile | None:
    """The file, when it is of any use; why it is not, when a person should know, is noted."""
    tar = entry.name.lower().endswith(TAR)
    media, sidecar = modality_of(entry.name) is not None, is_sidecar(entry.name)
    path = prefix + entry.name
    if entry.is_symlink():
        if media or tar or entry.is_dir():
            _look_at_link(root, Path(entry.path), shown(path), found)
        return None
    if not (media or sidecar or tar):
        return None
    if rules.levels and rules.match(path, folder=False):
        return None
    if shown(path) != path:
        found.failures[shown(path)] = MediaError("scan", "its name is not valid UTF-8", "rename the file")
        return None
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # gone in this moment
        return None
    except OSError as error:
        found.unread = True  # what cannot be looked at is not gone
        found.failures[path] = MediaError("scan", f"it cannot be looked at: {error.strerror}", "check the disk")
        return None
    if not stat.S_ISREG(facts.st_mode) and not (media and not sidecar):  # decoding tells of what is media alone
        found.failures[path] = MediaError("read", "not a regular file", "move it out of the media folder")
        return None
    return file_of(path, facts)


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
