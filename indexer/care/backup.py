"""`rebus backup`: a whole library in one file, consistent while it is indexed and served.

The catalog is copied by SQLite at one moment. The files that this copy names are opened right after, so that nothing
can take them away; shards only grow, and are read up to the rows that the copy counts.
"""

import io
import json
import shutil
import sqlite3
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.artifacts import read_manifest, sync
from engine.catalog import HEAD, Catalog
from engine.config import Config
from engine.errors import ArtifactError, NoRoom
from engine.store import SHARD_ROWS, SUM_BYTES, EmbeddingStore, store_folder
from indexer.care.archive import CATALOG, FORMAT, MANIFEST, BackupError, Hashed, belongs
from indexer.jobs import Tell

_TRIES = 20
_TAR_BLOCK, _MARGIN = 512, 16 * 2**20


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds."""

    file: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Source:
    """A file to take in. opened: its handle, where it might be deleted meanwhile; size: the bytes that belong."""

    name: str
    path: Path
    size: int
    opened: BinaryIO | None = None


class _Vanished(Exception):
    """What the copied catalog names was replaced before it was opened: copy it again."""


def backup(config: Config, file: Path, tell: Tell, *, thumbnails: bool = True) -> BackedUp:
    """Write the library to `file`, a tar. A reader, or a crash, sees the whole file or none.

    Raises BackupError for a catalog that is not SQLite or a file that is there already, NoRoom when there is no room.
    """
    if config.catalog.url:
        raise BackupError(
            "the catalog is in a database of its own, which `rebus backup` does not copy: stop indexing, back it up "
            f"with that database's own program (such as pg_dump), and copy the folder {config.home}"
        )
    target = file.expanduser().absolute()
    if target.exists():
        raise BackupError(f"{target} is there already: name another file, or delete that one first")
    if not target.parent.is_dir():
        raise BackupError(f"there is no folder {target.parent}: make it first")
    catalog = Catalog(config)
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex}")
    copy = temporary.with_suffix(".db")
    try:
        with ExitStack() as stack:
            _check_room(target.parent, (config.home / CATALOG).stat().st_size)
            sources = _freeze(catalog, copy, stack)
            sources += list(_immutable(config.home, thumbnails))
            _check_room(target.parent, sum(source.size + 2 * _TAR_BLOCK for source in sources))
            temporary.touch(mode=0o600)
            written = _write(temporary, sources, tell)
        sync(temporary)
        temporary.rename(target)
        sync(target.parent)
    finally:
        catalog.engine.dispose()
        temporary.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
    return BackedUp(str(target), written, target.stat().st_size)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _MARGIN > free:
        raise NoRoom(
            f"the backup takes {needed / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free at {folder}: "
            "name a file on another disk, or leave the thumbnails out with --no-thumbs"
        )


def _freeze(catalog: Catalog, copy: Path, stack: ExitStack) -> list[_Source]:
    """A copy of the catalog, and open handles of all shards, versions and heads that it names."""
    for _ in range(_TRIES):
        copy.unlink(missing_ok=True)
        copy.touch(mode=0o600)
        _copy_database(catalog.home / CATALOG, copy)
        with ExitStack() as attempt:
            try:
                opened = [_opened(catalog.home, path, size, attempt) for path, size in _named(catalog.home, copy)]
            except _Vanished:
                continue
            stack.enter_context(attempt.pop_all())
            return [_Source(CATALOG, copy, copy.stat().st_size), *opened]
    raise BackupError(
        f"files that the catalog of {catalog.home} names are not there: see `rebus doctor`, and repair it first"
    )


def _copy_database(source: Path, copy: Path) -> None:
    """SQLite's own copy, of one moment, while others write."""
    with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=60)) as reading:
        with closing(sqlite3.connect(copy)) as writing:
            reading.backup(writing)
            writing.execute("PRAGMA journal_mode=DELETE")  # one file, with no log beside it


def _named(home: Path, copy: Path) -> Iterator[tuple[Path, int | None]]:
    """The files that a catalog names, each with the bytes that belong to it; None for all of them."""
    with closing(sqlite3.connect(copy)) as database:
        encoders = database.execute("SELECT fingerprint, dim, rows, generation FROM encoders").fetchall()
        folders = [
            folder for (folder,) in database.execute("SELECT folder FROM versions UNION SELECT folder FROM heads")
        ]
    for fingerprint, dim, rows, generation in encoders:
        store = EmbeddingStore(store_folder(home, fingerprint, generation), dim)
        for shard in range(-(-rows // SHARD_ROWS)):
            held = min(SHARD_ROWS, rows - shard * SHARD_ROWS)
            yield store.path(shard), held * 2 * dim
            with suppress(FileNotFoundError):  # what earlier releases wrote has none
                sums = store.sums_path(shard)
                yield sums, min(held * SUM_BYTES, sums.stat().st_size)
    for folder in folders:
        try:
            files = read_manifest(home / folder)["files"]  # not what the folder holds: it may be half deleted
        except (ArtifactError, OSError):
            raise _Vanished from None
        for name in sorted((MANIFEST, *files)):
            yield home / folder / name, None


def _opened(home: Path, path: Path, size: int | None, stack: ExitStack) -> _Source:
    try:
        file = stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        raise _Vanished from None
    there = path.stat().st_size if size is None else size
    return _Source(path.relative_to(home).as_posix(), path, there, file)


def _immutable(home: Path, thumbnails: bool) -> Iterator[_Source]:
    """The settings, the encoders and the thumbnails: written whole, and never changed."""
    patterns = ("config.toml", "encoders/**/*", *(("thumbs/*/*.jpg",) if thumbnails else ()))
    for pattern in patterns:
        for path in sorted(home.glob(pattern)):
            name = path.relative_to(home).as_posix()
            with suppress(FileNotFoundError):
                if belongs(name) and path.is_file() and not path.is_symlink():
                    yield _Source(name, path, path.stat().st_size)


def _write(target: Path, sources: list[_Source], tell: Tell) -> int:
    """Write the tar; return how many files it holds. A thumbnail that went meanwhile is left out."""
    files: dict[str, dict[str, str | int]] = {}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for done, source in enumerate(sources):
            with ExitStack() as stack:
                try:
                    opened = source.opened or stack.enter_context(source.path.open("rb"))
                except FileNotFoundError:
                    continue
                reader = Hashed(opened, source.size)
                _add(tar, source.name, source.size, reader)
                files[source.name] = reader.facts
            tell("backing up", done + 1, len(sources))
        manifest = {"format": FORMAT, "kind": "rebus backup", "schema": HEAD, "created_at": time.time(), "files": files}
        data = json.dumps(manifest, indent=0, sort_keys=True).encode()
        _add(tar, MANIFEST, len(data), Hashed(io.BytesIO(data), len(data)))
    return len(files)


def _add(tar: tarfile.TarFile, name: str, size: int, reader: Hashed) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(time.time())
    try:
        tar.addfile(member, reader)
    except OSError as error:
        if error.errno is None:  # tarfile's own word for a file that is shorter than was said
            raise BackupError(f"{name} is shorter than the catalog says: see `rebus doctor`") from None
        raise
