"""One writer at a time, and a row in the catalog for what it does."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from filelock import FileLock, Timeout

from engine.artifacts import remove_leftovers
from engine.catalog import Catalog, Job
from engine.errors import LibraryBusy

Tell = Callable[[str, int, int], None]
"""Hears of progress: what is being done, how many are done, of how many (0 when not known yet)."""


class JobReport:
    """Writes a job's progress to its row, at most once a second."""

    def __init__(self, catalog: Catalog, job_id: int, tell: Tell) -> None:
        self._catalog, self._id, self._tell, self._written = catalog, job_id, tell, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell the caller, and the catalog's readers."""
        self._tell(what, done, total)
        now = time.monotonic()
        if now - self._written >= 1.0 or done == total:
            self._written = now
            self.update(message=what, done=done, total=total)

    def update(self, **values: object) -> None:
        """Set columns of the job's row."""
        with self._catalog.session() as session:
            session.execute(sa.update(Job).where(Job.id == self._id).values(**values))


@contextmanager
def writing(catalog: Catalog, kind: str, tell: Tell) -> Iterator[JobReport]:
    """Hold the library's write lock and record a job. Raises LibraryBusy when another process writes.

    Holding the lock, whatever a killed process left running or half-written is put in order first.
    """
    lock = FileLock(catalog.home / "write.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LibraryBusy(
            f"another process is writing to the library at {catalog.home}: wait for it, or see `rebus status`"
        ) from None
    try:
        for folder in ("versions", "encoders", "training", "thumbs/*"):
            for place in catalog.home.glob(folder):
                remove_leftovers(place)
        with catalog.session() as session:
            stale = sa.update(Job).where(Job.state == "running")
            session.execute(stale.values(state="interrupted", finished_at=time.time()))
            job = Job(kind=kind, pid=os.getpid())
            session.add(job)
        report, state = JobReport(catalog, job.id, tell), "failed"
        try:
            yield report
            state = "done"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        finally:
            report.update(state=state, finished_at=time.time())
    finally:
        lock.release()
