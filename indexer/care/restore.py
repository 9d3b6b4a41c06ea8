"""`rebus restore`: a backup becomes a library's home, whole or not at all.

The file may be damaged or hostile. Every member is checked against the names that a library has and against the
manifest's sizes and hashes, in a folder beside the home; only what proves to be a library takes its name.
"""

import json
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from filelock import FileLock, Timeout

from engine.artifacts import sync
from engine.catalog import Catalog, Job, Root
from engine.config import load_config
from engine.database import programs, programs_of_a_library
from engine.errors import DiskFull, RebusError
from indexer.care.archive import CATALOG, FORMAT, MANIFEST, BackupError, Hashed, belongs
from indexer.care.embeddings import examine_embeddings
from indexer.care.findings import Level
from indexer.care.heads import examine_heads
from indexer.care.rows import examine_catalog
from indexer.care.versions import examine_versions
from indexer.jobs import Tell

_MOST_MEMBERS, _MOST_MANIFEST = 20_000_000, 2**29
_MARGIN, _BLOCK = 16 * 2**20, 2**20


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place. roots: the media folders that it names; they are not part of a backup."""

    home: str
    files: int
    bytes: int
    roots: list[str]


def restore(file: Path, home: Path, tell: Tell) -> Restored:
    """Make the library in the backup `file` at `home`, which must be empty or not there.

    Raises BackupError when the file is no whole backup, DiskFull when there is no room; nothing is left then.
    """
    home = home.expanduser().absolute()
    if home.exists() and (not home.is_dir() or next(home.iterdir(), None) is not None):
        raise BackupError(f"{home} is there and not empty: name a folder that is not there yet")
    home.parent.mkdir(parents=True, exist_ok=True)
    with _staging(home) as staging:
        with _reading(file) as tar:
            files = _listed(tar)
            size = sum(facts["bytes"] for facts in files.values())
            _check_room(home.parent, size)
            _extract(tar, files, staging, tell)
        roots = _check_library(staging)
        if home.exists():
            home.rmdir()
        staging.rename(home)
        sync(home.parent)
    return Restored(str(home), len(files), size, roots)


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """A folder beside the home, gone at the end; its name is the home's, so that the next try removes a killed one's.

    Raises BackupError while another restore to the same home is at work.
    """
    staging = home.parent / f".tmp-restore-{home.name}"
    lock = FileLock(home.parent / f"{staging.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BackupError(f"another process is restoring to {home}: wait for it, or name another folder") from None
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        with suppress(OSError):  # Windows keeps it while it is open
            Path(lock.lock_file).unlink()
        lock.release()


@contextmanager
def _reading(file: Path) -> Iterator[tarfile.TarFile]:
    """The tar, and whatever reading it meets as BackupError."""
    try:
        with tarfile.open(file, "r:", errorlevel=2) as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise BackupError(f"{file} is no whole backup of Rebus ({error}): fetch it again, or take another") from None


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in order, without keeping them. Raises BackupError for what no backup holds."""
    assert tar.fileobj is not None
    tar.fileobj.seek(0)
    tar.offset, at = 0, -1
    tar.firstmember = None  # type: ignore[attr-defined]  # what opening the tar has read of it
    for count in range(_MOST_MEMBERS):
        member = tar.next()
        tar.members = []  # type: ignore[attr-defined]
        if member is None:
            return
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
        if not plain or member.size < 0 or member.offset <= at or count == _MOST_MEMBERS - 1:
            raise BackupError(f"the member {member.name!r} is no plain file: this is no backup of Rebus")
        if member.name != MANIFEST and not belongs(member.name):
            raise BackupError(f"the member {member.name!r} is no file of a library: this is no backup of Rebus")
        at = member.offset
        yield member


def _listed(tar: tarfile.TarFile) -> dict[str, dict[str, Any]]:
    """The manifest's files, after a look at every header: the members are just these, of these sizes."""
    sizes: dict[str, int] = {}
    last = None
    for member in _members(tar):
        if member.name in sizes or (last is not None and last.name == MANIFEST):
            raise BackupError(f"the member {member.name!r} comes twice, or after the manifest")
        sizes[member.name], last = member.size, member
    if last is None or last.name != MANIFEST or last.size > _MOST_MANIFEST:
        raise BackupError("it does not end in a manifest: it was cut short, or is no backup of Rebus")
    source = tar.extractfile(last)
    files = _parse(source.read() if source else b"")
    del sizes[MANIFEST]
    if sizes != {name: facts["bytes"] for name, facts in files.items()}:
        raise BackupError("its files are not those that its manifest names: it was altered")
    if len({name.casefold() for name in files}) < len(files):
        raise BackupError("two of its files differ only in capitals")
    if CATALOG not in files:
        raise BackupError("it holds no catalog: this is no backup of Rebus")
    return files


def _parse(data: bytes) -> dict[str, dict[str, Any]]:
    try:
        manifest = json.loads(data)
        known, files = manifest["format"], dict(manifest["files"])
        checked = {
            str(name): {"bytes": int(facts["bytes"]), "xxh3_128": str(facts["xxh3_128"])}
            for name, facts in files.items()
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BackupError(f"its manifest cannot be read ({error}): it was altered") from None
    if known != FORMAT:
        raise BackupError(f"it has format {known}, this release reads {FORMAT}: upgrade Rebus")
    return checked


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + _MARGIN > free:
        needed, there = f"{size / 2**20:,.0f} MiB", f"{free / 2**20:,.0f} MiB"
        raise DiskFull(f"the library takes {needed}, and {there} are free at {folder}: choose another disk")


def _extract(tar: tarfile.TarFile, files: dict[str, dict[str, Any]], staging: Path, tell: Tell) -> None:
    """Write every file below `staging`, and compare its hash."""
    done = 0
    for member in _members(tar):
        if member.name == MANIFEST:
            return
        tarfile.data_filter(member, str(staging))  # a second opinion on where it would land
        source = tar.extractfile(member)
        if source is None or member.name not in files:
            raise BackupError(f"the member {member.name!r} cannot be read")
        target = staging / member.name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _write(source, member.size, target) != files[member.name]:
            raise BackupError(f"{member.name} is not what its manifest says: the backup was damaged or altered")
        done += 1
        tell("restoring", done, len(files))


def _write(source: IO[bytes], size: int, target: Path) -> dict[str, str | int]:
    reader = Hashed(source, size)  # type: ignore[arg-type]
    with target.open("xb") as file:
        while data := reader.read(_BLOCK):
            file.write(data)
    if target.suffix != ".jpg":  # thumbnails are many, and can be made again
        sync(target)
    return reader.facts


def _check_library(home: Path) -> list[str]:
    """Raise BackupError unless what was extracted is a library; return its media folders."""
    with closing(sqlite3.connect(f"{(home / CATALOG).as_uri()}?mode=ro", uri=True)) as database:
        try:
            if programs(database) not in (set(), programs_of_a_library()):
                raise BackupError("its catalog holds triggers or views that no library has: it was altered")
        except sqlite3.DatabaseError as error:
            raise BackupError(f"its catalog cannot be read: {error}") from None
    try:
        config = load_config(home, environ={})
        if config.catalog.url:
            raise BackupError("its config.toml names a catalog elsewhere: it was altered")
        catalog = Catalog(config)
    except RebusError as error:
        raise BackupError(str(error)) from None
    try:
        for examination in (
            examine_catalog(catalog, True),
            examine_embeddings(catalog, False),
            examine_heads(catalog),
            examine_versions(catalog),
        ):
            for finding in examination:
                if finding.level is Level.PROBLEM:
                    raise BackupError(f"{finding.what}. It was backed up so: repair the library, and back it up again")
        with catalog.session() as session:
            running = sa.update(Job).where(Job.state == "running")
            session.execute(running.values(state="interrupted"))
            return list(session.scalars(sa.select(Root.path).order_by(Root.id)))
    finally:
        catalog.engine.dispose()
