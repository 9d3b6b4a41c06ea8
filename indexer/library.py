"""The two long jobs, from end to end: index folders, and train an encoder. Both end in a published version."""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, Failure, IndexVersion, Item, Job
from engine.config import Config
from engine.decoding import DecoderPool
from engine.encoders import STARTER, Encoder, load_encoder, resolved_spec, weights_file
from engine.errors import NoRoom
from engine.media.ocr import check_ocr
from engine.status import disk_needed
from engine.words import counted, readable_bytes
from indexer.choice import chosen_encoder, remembered
from indexer.comparing import Note, chosen, compare, opened
from indexer.history import over_budget
from indexer.jobs import JobReport, Tell, writing
from indexer.scan import Compared, Scan, ScanReport
from indexer.tally import Tally

if TYPE_CHECKING:
    from indexer.embed import Embedder
    from indexer.encoder_training import TrainedEncoder

# What embeds and trains imports torch, which takes seconds: functions import it when they come to it, so that a scan
# without an encoder, or an error in the arguments, does not wait.

LOADER = "load-encoder"  # a name that the command line knows: it does not wait for it
_SOON_S = 2.0  # after which a library without a version gets its first
_GROWTH = 4096  # items that a version must lack, at least, before the next one is built while indexing runs


@dataclass(slots=True)
class IndexReport:
    """What indexing did. embedded: items given an embedding; version: the one served now, if any.

    first: nothing was published before, or by none but runs that were stopped. emptied: something was, and all its
    files were removed since. over_budget: what to say of a version that takes more memory than was planned.
    """

    scans: list[ScanReport] = field(default_factory=list)
    embedded: int = 0
    failures: int = 0
    version: IndexVersion | None = None
    encoder: str | None = None
    first: bool = False
    emptied: bool = False
    over_budget: list[str] = field(default_factory=list)


def index_folders(
    config: Config,
    folders: Sequence[Path],
    tell: Tell,
    *,
    retry: bool = False,
    again: bool = False,
    shallow: bool = False,
    gone: bool = False,
    encoder: Encoder | None = None,
    known: bool = False,
    deleted: Collection[str] = (),
    note: Note = lambda text: None,
) -> IndexReport:
    """Scan folders (all known ones when none is named), embed what is new, publish. Searchable while it runs.

    Without an encoder only items and captions are recorded. retry: try files again that failed. again: read all files
    again, by the settings of now; what is unchanged is not embedded again. shallow: look into the folders alone, not
    below. gone: believe that files were removed even where nearly all are missing. encoder: the one to use, when it is
    loaded already. known: refuse a folder that lies in no known one. deleted: absolute paths of files that were seen to
    be removed. note: hears what is known early.
    Raises InvalidInput for a folder that cannot be read, LibraryBusy when another process writes, DiskFull, DriveGone.
    """
    check_ocr(config.media)
    with ExitStack() as stack:
        pool = stack.enter_context(DecoderPool(config.media))
        new = config.encoder.model and not (config.home / "catalog.db").exists()
        if encoder is None and new:
            _import_ahead()
        if encoder is not None or new:
            pool.start()  # beside the catalog's making
        catalog = Catalog(config, create=True)
        job = stack.enter_context(writing(catalog, "index", tell))
        report = IndexReport()
        roots = opened(catalog, chosen(catalog, folders, note), known=known, gone=gone, shallow=shallow)
        scan_of = partial(Scan, retry=retry, again=again, shallow=shallow, gone=gone, deleted=deleted, back=set[int]())
        scans = [scan_of(catalog, config, *place) for place in roots]
        report.scans, report.first = [scan.report for scan in scans], _is_first(catalog)
        spec = encoder.spec if encoder else chosen_encoder(catalog, config)
        with remembered(catalog, spec), Tally(scans, job, note) as tally, pool:
            run = _Run(catalog, config, job, note, pool, spec, encoder, again)
            for compared in compare(catalog, config, scans, note):
                run.take(compared, tally)
            if spec is not None:
                report.version, report.encoder = run.finish(), spec
                report.over_budget = over_budget(catalog, report.version) if report.version else []
                report.embedded = run.embedder.embedded if run.embedder else 0
        with catalog.session() as session:
            report.failures = session.scalar(sa.select(sa.func.count()).select_from(Failure)) or 0
            left = session.scalar(sa.select(Item.id).where(Item.removed_at.is_(None)).limit(1))
        report.emptied = left is None and not report.failures and not report.first
        return report


def _is_first(catalog: Catalog) -> bool:
    done = sa.select(Job.id).where(Job.kind == "index", Job.state == "done").limit(1)
    with catalog.session() as session:
        return session.scalar(done) is None or catalog.current_version() is None


def _import_ahead() -> None:
    """What a new library needs for certain is imported while its catalog is made."""
    modules = "engine.encoders.open_clip", "indexer.embed"
    threading.Thread(target=lambda: [import_module(one) for one in modules], name=LOADER, daemon=True).start()


def _unchanged_encoder(catalog: Catalog, spec: str) -> EncoderRow | None:
    """The row of an encoder that the library is served by and whose weights were not written since; else None.

    None, too, for the one that comes with Rebus while the library has no copy of it: it is loaded, and kept.
    """
    version = catalog.current_version()
    if version is None:
        return None
    with catalog.session() as session:
        row = session.get_one(EncoderRow, version.encoder_id)
    weights = weights_file(spec)
    known = row.spec != STARTER and resolved_spec(catalog.home, row.spec) == spec
    written = weights is not None and (not weights.is_file() or weights.stat().st_mtime > row.created_at)
    return row if known and not written else None


class _Run:
    """One run's work on what scans yield: embed each part, and publish while the rest goes on."""

    def __init__(
        self,
        catalog: Catalog,
        config: Config,
        job: JobReport,
        note: Note,
        pool: DecoderPool,
        spec: str | None,
        encoder: Encoder | None,
        again: bool,
    ) -> None:
        self.catalog, self.config, self.job, self.note, self.spec = catalog, config, job, note, spec
        self.embedder: Embedder | None = None
        self._again = again
        self._pool, self._done, self._fresh, self._began = pool, 0, 0, time.monotonic()
        self._serves = False  # whether a version is known to be there
        self._known = _unchanged_encoder(catalog, spec) if spec and encoder is None else None
        self._loading: Future[Encoder] | None = None
        if encoder is not None:
            self._loading = Future()
            self._loading.set_result(encoder)
        elif spec is not None and self._known is None:
            self._load()
        if self._loading is not None:
            pool.start()  # like the encoder's loading, beside the first part of the scan

    def take(self, compared: Compared, tally: Tally) -> None:
        """Embed what was compared; the first time, also what waits from earlier runs."""
        if self.spec is not None and (compared.touched or self._waits):
            self._catch_up(compared.touched)
            finished = self._done
            for files in self._embed(compared.touched):
                finished += files
                tally.tell(finished, self._written())
        self._done += compared.files
        tally.tell(self._done, self._written())

    def finish(self) -> IndexVersion | None:
        """Embed what waits when no scan found anything, and publish all."""
        if self._waits:
            self._catch_up([])
        row = self.embedder.row if self.embedder else self._known
        assert row is not None
        encoder = self.embedder.writer.encoder if self.embedder else None
        return _publish(self.catalog, self.config, row, self.job, encoder)

    @cached_property
    def _waits(self) -> bool:
        """Whether anything waits from earlier runs, or for a new encoder; one that nothing waits for is not loaded."""
        from indexer.embed import pending

        return self._known is None or bool(pending(self.catalog, self._known.id))

    def _load(self) -> "Future[Encoder]":
        """Load the encoder in a thread: it takes seconds, in which Ctrl-C must be heard."""
        loading = self._loading = Future[Encoder]()

        def load() -> None:
            try:
                loading.set_result(load_encoder(self.spec or "", self.config.encoder.device))
                import_module("indexer.build")  # while the first pictures are encoded
            except BaseException as error:  # it is for the run to meet
                loading.set_exception(error)

        threading.Thread(target=load, name=LOADER, daemon=True).start()
        return loading

    def _catch_up(self, touched: Sequence[int]) -> None:
        """Once in a run: embed what waits from earlier runs, or for a new encoder, without what was just touched."""
        if self.embedder is None:
            from indexer.embed import pending

            embedder = self._open()
            waiting = sorted(set(pending(self.catalog, embedder.row.id)) - set(touched))
            for _ in self._embed(waiting):
                self.job("embedding what waits", min(embedder.embedded, len(waiting)), len(waiting))

    def _open(self) -> "Embedder":
        from indexer.embed import Embedder

        self._pool.start()
        loading = self._loading or self._load()
        if not loading.done():
            self.job("loading the encoder", 0, 0)
        self.embedder = embedder = Embedder(
            self.catalog, self.config, loading.result(), self.job, self._pool, again=self._again
        )
        version = self.catalog.current_version()
        if version is not None and version.encoder_id != embedder.row.id:
            self._tell_need(embedder.row, version)
        return embedder

    def _tell_need(self, encoder: EncoderRow, version: IndexVersion) -> None:
        """What embedding everything anew takes; nothing where it was done before."""
        need = disk_needed(self.catalog, encoder.dim, self.config.codec.bits, encoder.id)
        if not need.items:
            return
        self.note(
            f"a new encoder: {counted(need.items, 'item', 'is', 'are')} embedded anew, for "
            f"{readable_bytes(need.bytes)} of disk ({readable_bytes(need.free)} are free). {self._meanwhile(version)}"
        )
        if need.bytes > need.free:
            raise NoRoom(
                f"the disk of {self.catalog.home} has no room for them: make some, and run the same command again"
            )

    def _meanwhile(self, version: IndexVersion) -> str:
        """What answers until everything is embedded anew: what is published, as far as its encoder can be loaded."""
        from indexer.usable import unusable

        with self.catalog.session() as session:
            old = session.get_one(EncoderRow, version.encoder_id)
        if unusable(self.catalog.home, old, self.config.encoder.device):
            return "Until all of them are, words are only looked up as they are written: the old encoder cannot be used"
        return "What is published answers until all of them are"

    def _written(self) -> int:
        return self.embedder.writer.written if self.embedder else 0

    def _embed(self, ids: Sequence[int]) -> Iterator[int]:
        """Embed items; build a version soon after the start of a new library, then at growing intervals.

        Versions of another encoder are served on until everything is embedded with the new one.
        """
        assert self.embedder is not None
        before = self.embedder.embedded
        for files in self.embedder.embed(ids):
            self._fresh += self.embedder.embedded - before
            before = self.embedder.embedded
            yield files
            if self._due(self.embedder.row):
                from indexer.build import build

                build(self.catalog, self.config, self.embedder.row, self.job)
                self._fresh = 0

    def _due(self, encoder: EncoderRow) -> bool:
        """Whether to build a version now. The catalog is asked only when one may be due, not after each batch."""
        if self._fresh < _GROWTH and (self._serves or time.monotonic() - self._began <= _SOON_S):
            return False
        version = self.catalog.current_version()
        self._serves = version is not None
        return version is None or (
            version.encoder_id == encoder.id and self._fresh >= max(_GROWTH, sum(version.counts.values()))
        )


def train_and_publish(
    config: Config, tell: Tell, hear: Callable[[dict[str, float], int, int], None]
) -> "tuple[TrainedEncoder, IndexReport]":
    """Train an encoder on the library's captions; if it is better than what it began with, embed all, and publish."""
    from indexer.embed import Embedder, pending, register_encoder
    from indexer.encoder_training import train_encoder

    catalog = Catalog(config)
    with writing(catalog, "train", tell) as job:
        trained = train_encoder(catalog, config, job, hear)
        if not trained.verdict.better:
            return trained, IndexReport(version=catalog.current_version())
        encoder = load_encoder(str(trained.folder), config.encoder.device)
        report = IndexReport(encoder=encoder.spec)
        row = register_encoder(catalog, encoder, trained.facts)
        with DecoderPool(config.media) as pool:
            embedder = Embedder(catalog, config, encoder, job, pool)
            waiting = pending(catalog, row.id)
            for _ in embedder.embed(waiting):
                job("embedding", embedder.embedded, len(waiting))
            report.embedded = embedder.embedded
        report.version = _publish(catalog, config, row, job, encoder)
        return trained, report


def _publish(
    catalog: Catalog, config: Config, row: EncoderRow, job: JobReport, encoder: Encoder | None
) -> IndexVersion | None:
    from indexer.build import build, is_current
    from indexer.calibration import calibrate
    from indexer.duplicates import group_duplicates

    group_duplicates(catalog, config, row, job)
    if is_current(catalog, row):
        return catalog.current_version()
    version = build(catalog, config, row, job)
    if version is not None:
        calibrate(catalog, config, version, job, encoder)
    return version
