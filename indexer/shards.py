"""Tars of pictures as folders of a walk, and the tables that speak of them."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.errors import MediaError
from engine.media.files import TAR, list_shard
from indexer.folders import leave_captions_out, sort_in, tables_of
from indexer.found import Folder, FoundFile, file_of, shown
from indexer.rules import Rules
from indexer.sidecars.names import PLACES_FOLDER, bare, is_own, is_places_table, is_shard_table, is_table, stem


def is_there(path: str) -> bool:
    """Whether a file, or a picture of this name in a tar, is on the disk; True where it cannot be told."""
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        if TAR not in path.lower():
            return False
    tar = next((one for one in Path(path).parents if one.name.lower().endswith(TAR) and one.is_file()), None)
    try:
        shard = list_shard(tar) if tar else None
    except MediaError:
        return True
    return tar is not None and shard is not None and Path(path).relative_to(tar).as_posix() in shard.members


def look_into_tar(root: Path, tar: FoundFile, above: tuple[FoundFile, ...], rules: Rules) -> Iterator[Folder]:
    """The folders of a tar, when it is one of pictures; nothing for any other archive."""
    try:
        shard = list_shard(root / tar.path)
    except MediaError as error:
        yield Folder(tar.path, failures={tar.path: error}, unread=True)
        return
    if shard is None:
        return
    folders, members = {tar.path: Folder(tar.path)}, [bare(name) for name in shard.members]
    if shard.problem:
        folders[tar.path].failures[tar.path] = MediaError("read", shard.problem, "copy it again from its source")
    for name, (_, size) in sorted(shard.members.items()):
        path = f"{tar.path}/{name}"
        folder = folders.setdefault(path[: path.rfind("/")], Folder(path[: path.rfind("/")]))
        hidden = name.startswith(".") or "/." in name
        if hidden or (rules.levels and rules.match(path, folder=False)):
            continue
        if shown(path) != path:
            folder.failures[shown(path)] = MediaError("scan", "its name is not valid UTF-8", "write the tar again")
            continue
        sort_in(folder, FoundFile(path, size, tar.mtime_ns))
    for path, folder in folders.items():
        own = tables_of(folder)
        leave_captions_out(folder, members)
        folder.tables = own + (folders[tar.path].tables if path != tar.path else above)
        yield folder


def table_of_shard(folder: Folder, below: str) -> tuple[FoundFile, ...]:
    """The table beside a folder or a tar that is called as it is: 00000.parquet of 00000/ and 00000.tar."""
    wanted = _unended(below)
    if not (wanted.isascii() and wanted.isdigit()):
        return ()
    return tuple(file for name, file in folder.sidecars.items() if is_shard_table(name) and stem(name) == wanted)


def places_tables(root: Path, folder: Path) -> tuple[FoundFile, ...]:
    """The tables in the `metadata` folder of a folder: clip-retrieval's."""
    place = folder / PLACES_FOLDER
    if place.is_symlink():
        return ()
    return _tables(root, place, is_places_table)


def own_sidecars(root: Path, folder: Path) -> dict[str, FoundFile]:
    """The sidecars in a folder that speak of one file each, by their names."""
    return {bare(file.path): file for file in _tables(root, folder, is_own)}


def tables_above(root: Path, start: Path) -> tuple[FoundFile, ...]:
    """The tables that speak of what lies in `start`, of the folders from `root` down to the one above it."""
    above: tuple[FoundFile, ...] = ()
    place = root
    for part in start.relative_to(root).parts:
        own = _tables(root, place, is_table) + places_tables(root, place)
        of_next = (table for table in _tables(root, place, is_shard_table) if stem(bare(table.path)) == _unended(part))
        above = (*of_next, *own, *above)
        place /= part
    return above


def _tables(root: Path, place: Path, wanted: Callable[[str], bool]) -> tuple[FoundFile, ...]:
    found = []
    try:
        with os.scandir(place) as listing:
            for entry in sorted(listing, key=lambda entry: entry.name):
                if wanted(entry.name) and entry.is_file(follow_symlinks=False):
                    path = Path(entry.path).relative_to(root).as_posix()
                    if shown(path) == path:
                        found.append(file_of(path, entry.stat(follow_symlinks=False)))
    except OSError:  # what cannot be listed speaks of nothing; the walk tells of it where it goes there
        return ()
    return tuple(found)


def _unended(name: str) -> str:
    return name[: -len(TAR)] if name.lower().endswith(TAR) else name
