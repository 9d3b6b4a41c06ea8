"""One writer at a time, a row in the catalog for what it does, and what a disk or a database refuses, as errors."""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import clear_frames

import sqlalchemy as sa
from filelock import FileLock, Timeout

from engine.artifacts import remove_leftovers
from engine.catalog import Catalog, Job
from engine.database import busy_explained
from engine.errors import DiskFull, LibraryBusy, RebusError

Tell = Callable[[str, int, int], None]
"""Hears of progress: what is being done, how many are done, of how many (0 when not known yet)."""

PLANS = "plans"  # a folder of the home: what is measured and thrown away
WRITTEN = "versions", "heads", "encoders", "training", "thumbs/*"  # folders that are written while the lock is held
_NOTHING_LEFT = 1 << 20  # bytes of a disk below which a write that was cut short needs no other cause
_WRITE_S = 1.0
_SETTLED_S = 2.0  # of a stage, after which its rate means something
_MOMENT_S = 0.5  # for which a lock is waited for: who only looks whether it is held, as the doctor does, holds it


class JobReport:
    """Writes a job's progress to its row, at most once a second, and tells the caller."""

    def __init__(self, catalog: Catalog, job_id: int, tell: Tell) -> None:
        self._catalog, self._id, self._tell, self._written = catalog, job_id, tell, 0.0
        self._stage, self._stage_began, self._stage_done = "", time.monotonic(), 0
        self._counts = {"files": 0, "failed": 0, "bytes": 0}
        self.rate: float | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell the caller, and the catalog's readers."""
        self._tell(what, done, total)
        now = time.monotonic()
        if what != self._stage:
            self._stage, self._stage_began, self._stage_done = what, now, done
        took = now - self._stage_began
        self.rate = (done - self._stage_done) / took if took >= _SETTLED_S and done > self._stage_done else None
        if now - self._written >= _WRITE_S or done == total:
            self._written = now
            left = (total - done) / self.rate if self.rate and total else None
            progress = {"message": what, "done": done, "total": total, "rate": self.rate, "remaining_s": left}
            self.update(**progress, **self._counts)

    def count(self, files: int, failed: int, bytes: int) -> None:
        """Add to what the whole run has read; written with the next progress."""
        for name, more in (("files", files), ("failed", failed), ("bytes", bytes)):
            self._counts[name] += more

    def update(self, **values: object) -> None:
        """Set columns of the job's row."""
        with self._catalog.session() as session:
            session.execute(sa.update(Job).where(Job.id == self._id).values(**values, heartbeat_at=time.time()))

    def end(self, state: str, message: str | None = None) -> None:
        """Write how the job ended. A full disk or a locked catalog may refuse it: then the next run calls it so."""
        with suppress(sa.exc.OperationalError, LibraryBusy):
            said = {} if message is None else {"message": message}
            self.update(state=state, finished_at=time.time(), rate=None, remaining_s=None, **self._counts, **said)


@contextmanager
def writing(catalog: Catalog, kind: str, tell: Tell) -> Iterator[JobReport]:
    """Hold the library's write lock and record a job. Raises LibraryBusy when another process writes.

    Holding the lock, whatever a killed process left running or half-written is put in order first.
    Raises DiskFull, or LibraryBusy when another program keeps the database locked, for what fails so inside.
    """
    busy = f"another process is writing to the library at {catalog.home}: wait for it, or see `rebus status`"
    with refusals_explained(catalog), _held(catalog.home / "write.lock", busy, _MOMENT_S):
        for folder in WRITTEN:
            for place in catalog.home.glob(folder):
                remove_leftovers(place)
        with suppress(LibraryBusy), measuring(catalog, 0.0):
            pass  # what a killed plan left is gone, unless one is being measured
        with catalog.session() as session:
            stale = sa.update(Job).where(Job.state == "running")
            session.execute(stale.values(state="interrupted", finished_at=time.time()))
            job = Job(kind=kind, pid=os.getpid())
            session.add(job)
        with _recorded(JobReport(catalog, job.id, tell)) as report:
            yield report


@contextmanager
def measuring(catalog: Catalog, patience_s: float = _MOMENT_S) -> Iterator[Path]:
    """A folder to measure in, beside any writer; whatever a killed process left there is gone.

    Raises LibraryBusy when another process measures there, and what `refusals_explained` does.
    """
    busy = f"another process measures plans of the library at {catalog.home}: wait for it"
    with refusals_explained(catalog), _held(catalog.home / "plan.lock", busy, patience_s):
        remove_leftovers(catalog.home / PLANS)
        yield catalog.home / PLANS


@contextmanager
def _held(file: Path, busy: str, patience_s: float) -> Iterator[None]:
    """A lock that one process has at a time. Raises LibraryBusy, with what to say, while another keeps it."""
    lock = FileLock(file)
    try:
        lock.acquire(timeout=patience_s)
    except Timeout:
        raise LibraryBusy(busy) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _recorded(report: JobReport) -> Iterator[JobReport]:
    try:
        yield report
    except KeyboardInterrupt as error:
        clear_frames(error.__traceback__)  # a cursor left in one keeps its transaction, and with it the database locked
        report.end("interrupted")
        raise
    except BaseException as error:
        report.end("failed", str(error)[:500] if isinstance(error, RebusError) else type(error).__name__)
        raise
    report.end("done")


@contextmanager
def refusals_explained(catalog: Catalog) -> Iterator[None]:
    """A full disk and a locked database as errors that say what to do."""
    try:
        with busy_explained(catalog.home):
            yield
    except RebusError:
        raise
    except Exception as error:
        if _means_full(error, catalog.home):
            raise DiskFull(catalog.home) from error
        raise


def _means_full(error: Exception, home: Path) -> bool:
    """Whether the disk is full. The system, SQLite, safetensors and NumPy each say so in a way of their own."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "No space left" in str(error) or "disk is full" in str(error):
        return True
    return isinstance(error, OSError) and error.errno is None and shutil.disk_usage(home).free < _NOTHING_LEFT
