"""`rebus gc`: free what a library can do without. What is done stays done, and the next run goes on."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, EncoderRow, IndexVersion, Item, chunks
from engine.config import Config
from engine.encoders import STARTER, resolved_spec
from engine.errors import DiskFull, LibraryBusy
from engine.words import readable_bytes
from indexer.care.compact import WORTH, compact, dead_rows
from indexer.care.forget import forget, forgettable
from indexer.care.leftovers import bytes_of, orphan_thumbnails, remove, temporary_files, unnamed_folders
from indexer.history import prune
from indexer.jobs import Tell, refusals_explained, writing

_DAY = 86_400.0
_LEAST_FREE, _FREE_SHARE = 2**20, 0.25  # bytes, and of the file, from which writing the catalog anew is worth it


@dataclass(slots=True)
class Collected:
    """What was freed, or would be. items: removed items forgotten, with their captions and frames.

    rows: rows of embeddings that were compacted away; dead: such that stay, too few to be worth it.
    """

    items: int = 0
    encoders: list[str] = field(default_factory=list)
    rows: int = 0
    dead: int = 0
    thumbnails: int = 0
    leftovers: int = 0
    bytes: int = 0
    notes: list[str] = field(default_factory=list)


def collect(
    config: Config, tell: Tell, *, older_than_days: float = 0.0, encoders: bool = False, dry_run: bool = False
) -> Collected:
    """Forget what was removed `older_than_days` ago or earlier, and delete what nothing needs then.

    encoders: drop the embeddings of encoders that no kept version uses. dry_run: only say what would go.
    Raises LibraryBusy when another process writes.
    """
    catalog = Catalog(config)
    before = time.time() - older_than_days * _DAY
    try:
        if dry_run:
            return _foresee(catalog, config, before, encoders)
        temporary, stored = len(temporary_files(catalog.home)), _stored(catalog)
        with writing(catalog, "gc", tell) as job:
            report = _collect(catalog, config, before, encoders, job)
        report.leftovers += temporary
        report.bytes += max(0, stored - _stored(catalog))
        return report
    finally:
        catalog.engine.dispose()


def _stored(catalog: Catalog) -> int:
    """Bytes of embeddings and versions, which are replaced as well as deleted."""
    return bytes_of(catalog.home / "embeddings") + bytes_of(catalog.home / "versions")


def _foresee(catalog: Catalog, config: Config, before: float, encoders: bool) -> Collected:
    files, parts = forgettable(catalog, before)
    gone = frozenset((*files, *parts))
    thumbnails = list(orphan_thumbnails(catalog, gone))
    leftovers = [*unnamed_folders(catalog), *temporary_files(catalog.home)]
    report = Collected(thumbnails=len(thumbnails), leftovers=len(leftovers))
    report.items = _with_children(catalog, files) + len(parts)
    report.bytes = sum(map(bytes_of, (*thumbnails, *leftovers)))
    for encoder in _unused(catalog, config) if encoders else []:
        report.encoders.append(encoder.spec)
        report.bytes += encoder.rows * 2 * encoder.dim
    for encoder in _encoders(catalog):
        dead = dead_rows(catalog, encoder, gone)
        if encoder.spec in report.encoders:
            continue
        if dead and dead >= WORTH * encoder.rows:
            report.rows += dead
            report.bytes += dead * 2 * encoder.dim
        else:
            report.dead += dead
    return report


def _collect(catalog: Catalog, config: Config, before: float, encoders: bool, tell: Tell) -> Collected:
    report = Collected()
    _sweep(catalog, report)
    files, parts = forgettable(catalog, before)
    if files or parts:
        _publish_without(catalog, config, tell)
        report.items = forget(catalog, files, parts, tell)
    for encoder in _unused(catalog, config) if encoders else []:
        _drop_embeddings(catalog, encoder)
        report.encoders.append(encoder.spec)
    for encoder in _encoders(catalog):
        _compact(catalog, config, encoder, report, tell)
    for path in orphan_thumbnails(catalog):
        report.bytes += remove(path)
        report.thumbnails += 1
    _sweep(catalog, report, count=False)
    _shrink(catalog, report)
    return report


def _sweep(catalog: Catalog, report: Collected, count: bool = True) -> None:
    """Delete the folders that no row names. count: they were left over, not replaced by this run."""
    for path in unnamed_folders(catalog):
        remove(path)
        report.leftovers += count
        if path.exists():
            report.notes.append(f"{path} is in use by another program: the next `rebus gc` removes it")


def _publish_without(catalog: Catalog, config: Config, tell: Tell) -> None:
    """Before rows of removed items go, no version may hold them any more: nobody could tell it then.

    Older versions go too, and where nothing is left to publish, all do.
    """
    from indexer.build import build, is_current

    served = catalog.current_version()
    if served is None:
        return
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, served.encoder_id)
    whole = is_current(catalog, encoder, wholly=True) or build(catalog, config, encoder, tell) is not None
    prune(catalog, 1 if whole else 0)


def _compact(catalog: Catalog, config: Config, encoder: EncoderRow, report: Collected, tell: Tell) -> None:
    dead = dead_rows(catalog, encoder)
    try:
        if dead and dead >= WORTH * encoder.rows and compact(catalog, config, encoder, tell):
            report.rows += dead
            _sweep(catalog, report, count=False)
        else:
            report.dead += dead
    except DiskFull as error:
        report.dead += dead
        report.notes.append(str(error))


def _shrink(catalog: Catalog, report: Collected) -> None:
    """Write a SQLite catalog anew when much of its file is free; other databases see to that themselves.

    It takes the file's size of disk once more, and waits for nobody: whoever reads meanwhile keeps what it sees.
    """
    if catalog.engine.dialect.name != "sqlite":
        return
    with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        size, pages, free = (
            int(connection.scalar(sa.text(f"PRAGMA {name}")) or 0)
            for name in ("page_size", "page_count", "freelist_count")
        )
        if free * size < _LEAST_FREE or free < _FREE_SHARE * pages:
            return
        try:
            with refusals_explained(catalog):
                connection.execute(sa.text("VACUUM"))
                connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
        except (DiskFull, LibraryBusy) as error:
            report.notes.append(f"the catalog's file keeps {readable_bytes(free * size)} that are free: {error}")
        else:
            left = int(connection.scalar(sa.text("PRAGMA page_count")) or 0)
            report.bytes += max(0, pages - left) * size


def _encoders(catalog: Catalog) -> list[EncoderRow]:
    with catalog.session() as session:
        return list(session.scalars(sa.select(EncoderRow).where(EncoderRow.rows > 0).order_by(EncoderRow.id)))


def _unused(catalog: Catalog, config: Config) -> list[EncoderRow]:
    """Encoders with embeddings that no kept version uses, and that the settings do not insist on."""
    used = sa.select(IndexVersion.encoder_id)
    model = config.encoder.model
    chosen = {model, str(Path(model).expanduser().absolute())} if model not in ("", STARTER) else set()
    with catalog.session() as session:
        rows = session.scalars(sa.select(EncoderRow).where(EncoderRow.rows > 0, EncoderRow.id.not_in(used))).all()
    return [row for row in rows if resolved_spec(catalog.home, row.spec) not in chosen]


def _drop_embeddings(catalog: Catalog, encoder: EncoderRow) -> None:
    """The rows first: a folder of an encoder that counts none is a leftover."""
    with catalog.session() as session:
        session.execute(sa.delete(Embedding).where(Embedding.encoder_id == encoder.id))
        session.execute(sa.update(EncoderRow).where(EncoderRow.id == encoder.id).values(rows=0))


def _with_children(catalog: Catalog, files: list[int]) -> int:
    total = len(files)
    with catalog.session() as session:
        for some in chunks(files, 500):
            query = sa.select(sa.func.count()).select_from(Item).where(Item.parent_id.in_(some))
            total += session.scalar(query) or 0
    return total
