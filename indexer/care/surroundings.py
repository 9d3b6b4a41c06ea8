"""Examine what a library stands on: its settings, folders, disk, encoder, and the programs and packages here."""

import platform
import shlex
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import sqlalchemy as sa

from engine.catalog import IMPORT, Catalog, EncoderRow, IndexVersion, Item, Root
from engine.config import Config
from engine.encoders import PREFIX, STARTER, folder_of, resolved_spec
from engine.errors import ConfigError
from engine.media.ocr import check_ocr
from engine.status import disk_needed
from engine.words import counted
from indexer.bundled import is_older
from indexer.care.accelerator import has_driver
from indexer.care.findings import Finding, note, ok, problem
from indexer.care.leftovers import missing_thumbnails, orphan_thumbnails
from indexer.roots import holds_no_drive, moved_roots
from indexer.usable import unusable

_LITTLE, _TOO_LITTLE = 2 * 2**30, 128 * 2**20  # free bytes
_PACKAGES = ("rebus", "torch", "open_clip_torch", "faiss-gpu", "faiss-cpu", "numpy", "pillow")


def examine_roots(catalog: Catalog) -> Iterator[Finding]:
    """Whether each media folder is there, itself and no link to another, and holds anything."""
    query = sa.select(Root.id, Root.path, Root.kind, sa.func.count(Item.id).label("files")).order_by(Root.id)
    query = query.group_by(Root.id, Root.path, Root.kind)
    join = sa.and_(Item.root_id == Root.id, Item.parent_id.is_(None), Item.removed_at.is_(None))
    with catalog.session() as session:
        roots = session.execute(query.outerjoin(Item, join)).all()
        mounts = dict(session.execute(sa.select(Root.id, Root.mounts)).tuples().all())
    linked = moved_roots(catalog)
    for row in roots:
        if row.kind == IMPORT:
            yield ok(f"{row.files:,} pictures of {row.path} were imported with their features: their files may be gone")
            continue
        state = _state(Path(row.path))
        if Path(row.path) in linked:
            yield problem(*linked[Path(row.path)])
        elif state == "":
            yield ok(f"{row.path} is there: {row.files:,} files of it are indexed")
            yield from _inner_drives(catalog, row.id, Path(row.path), mounts[row.id] or ())
        elif row.files:
            repair = f"mount its drive; if it moved, `rebus relocate {shlex.quote(row.path)} NEW`"
            yield problem(f"{row.path} {state}, and {row.files:,} files of it are indexed", repair)
        else:
            yield note(f"{row.path} {state}; nothing of it is indexed", "nothing need be done")
    if not roots:
        yield note("no folder is indexed yet", "index one with `rebus index FOLDER`")


def _inner_drives(catalog: Catalog, root: int, path: Path, places: Sequence[str]) -> Iterator[Finding]:
    """Drives within a media folder that are away, as far as files on them are known."""
    count = sa.select(sa.func.count()).where(Item.root_id == root, Item.parent_id.is_(None), Item.removed_at.is_(None))
    for place in places:
        if not holds_no_drive(path / place):
            continue
        with catalog.session() as session:
            files = session.scalar(count.where(Item.path.startswith(f"{place}/", autoescape=True))) or 0
        if files:
            drive = shlex.quote(str(path / place))
            yield problem(
                f"the drive of {path / place} is away, and {counted(files, 'file', 'of it is', 'of it are')} indexed",
                f"mount it, then `rebus index {shlex.quote(str(path))}`; "
                f"if its files were removed, `rebus index --gone {drive}`",
            )


def _state(folder: Path) -> str:
    """What is wrong with a media folder; "" when nothing is."""
    try:
        return "" if next(folder.iterdir(), None) is not None else "is empty"
    except NotADirectoryError:
        return "is no folder"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def examine_encoders(catalog: Catalog, config: Config, deep: bool) -> Iterator[Finding]:
    """The weights of the encoders whose versions are kept. deep: load them and compare their fingerprints."""
    query = sa.select(EncoderRow, sa.func.max(IndexVersion.turn)).join(IndexVersion).group_by(EncoderRow.id)
    with catalog.session() as session:
        found = session.execute(query).all()
    newest = max((last for _, last in found), default=0)
    for encoder, last in found:
        spec = resolved_spec(catalog.home, encoder.spec)
        wrong = unusable(catalog.home, encoder, config.encoder.device, load=deep)
        if not wrong:
            yield ok(f"the encoder {spec} is there" + (", and is the one that embedded" if deep else ""))
            if last == newest and is_older(spec):
                yield note(
                    "Rebus comes with another small encoder now than the one that this library goes on with",
                    "nothing need be done; `rebus index --encoder starter` embeds everything anew with it",
                )
        elif last == newest:
            repair = "bring its weights back, restore a backup, or choose another with `rebus index --encoder SPEC`"
            if spec == STARTER:
                repair = "embed everything anew with what comes with Rebus now: `rebus index`"
            yield problem(
                f"the encoder {spec} cannot be used, words are only looked up as they are written: {wrong}", repair
            )
        else:
            yield note(f"the encoder {spec} of an older version cannot be used: {wrong}", "`rebus gc --encoders`")


def examine_thumbnails(catalog: Catalog) -> Iterator[Finding]:
    """Thumbnails that nothing names, and pictures without one."""
    orphans, missing = sum(1 for _ in orphan_thumbnails(catalog)), missing_thumbnails(catalog)
    if orphans:
        yield note(f"{orphans:,} thumbnails belong to nothing", "remove them with `rebus gc`")
    yield ok(f"{missing:,} pictures have no thumbnail yet: one is made when it is asked for")


def examine_disk(catalog: Catalog, config: Config) -> Iterator[Finding]:
    """Room on the home's disk, beside what embedding what waits needs."""
    encoder = _served_encoder(catalog)
    need = disk_needed(catalog, encoder.dim if encoder else 512, config.codec.bits, encoder.id if encoder else None)
    free = f"{need.free / 2**30:,.1f} GiB are free on the disk of {catalog.home}"
    wanted = f"; what waits for an embedding needs about {need.bytes / 2**20:,.1f} MiB"
    if need.free < max(_TOO_LITTLE, need.bytes):
        yield problem(free + wanted, "make room, or move the library (`rebus backup`, `rebus restore`)")
    elif need.free < _LITTLE:
        yield note(free + wanted, "make room: `rebus gc` frees what the library can do without")
    else:
        yield ok(free + wanted)


def _served_encoder(catalog: Catalog) -> EncoderRow | None:
    version_row = catalog.current_version()
    with catalog.session() as session:
        return session.get(EncoderRow, version_row.encoder_id) if version_row else None


def examine_machine(config: Config) -> Iterator[Finding]:
    """Settings, packages, the device and the OCR engine. Nothing heavy is imported to ask."""
    changed = [
        f"{section}.{key} = " + ("(an address)" if key == "url" else repr(value))  # it may hold a password
        for section, values in vars(config).items()
        if section != "home"
        for key, value in vars(values).items()
        if value != getattr(type(values)(), key)
    ]
    yield ok(f"settings: {', '.join(changed) or 'the defaults'}")
    model = config.encoder.model
    if model and not model.startswith(PREFIX) and not folder_of(model).is_dir():
        yield problem(
            f"encoder.model names the folder {model}, which is not there", "mend config.toml or REBUS_ENCODER_MODEL"
        )
    versions = {name: _version(name) for name in _PACKAGES}
    packages = ", ".join(f"{name} {number}" for name, number in versions.items() if number)
    yield ok(f"Python {platform.python_version()}, {packages}, SQLite {sqlite3.sqlite_version}, {platform.platform()}")
    gpu = has_driver()
    if config.encoder.device == "cuda" and not gpu:
        yield problem("encoder.device is cuda, and no driver of a GPU is here", "set encoder.device to auto or cpu")
    else:
        yield ok(f"device {config.encoder.device}: " + ("a GPU's driver is here" if gpu else "no GPU, the processor"))
    if config.search.device == "cuda" and not gpu:
        yield problem("search.device is cuda, and no driver of a GPU is here", "set search.device to auto or cpu")
    try:
        check_ocr(config.media)
    except ConfigError as error:
        reason, _, repair = str(error).rpartition(": ")
        yield problem(reason, repair)
    else:
        yield ok("words in pictures: " + (f"read by {shutil.which('tesseract')}" if config.media.ocr else "not read"))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
