"""How many files there are, counted beside the work; and, once that is known, what the whole will take."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from engine.errors import RebusError
from engine.words import counted, duration, readable_bytes
from indexer.jobs import JobReport
from indexer.scan import Scan


class Tally:
    """Counts the files of some scans in a thread of its own. A context: leaving it ends the counting."""

    def __init__(self, scans: Sequence[Scan], job: JobReport, note: Callable[[str], None]) -> None:
        self._scans, self._job, self._note = scans, job, note
        self._counted, self._whole, self._said = 0, False, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._count, name="count", daemon=True)

    def __enter__(self) -> "Tally":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def total(self) -> int:
        """All files, or 0 while they are still being counted."""
        return self._counted if self._whole else 0

    def tell(self, done: int, written: int) -> None:
        """Report that `done` files are finished and `written` bytes on the disk; say once what is still to come."""
        total = max(self.total, done) if self.total else 0
        self._job("indexing", done, total)
        if not self._said and total > done and self._job.rate and written:  # else nothing is left to be told of
            self._said = True
            left = total - done
            time, room = duration(left / self._job.rate), readable_bytes(left * written // max(done, 1))
            self._note(
                f"{counted(total, 'file')}: about {time} and {room} of disk to go. "
                "What is finished can be searched already; Ctrl-C is safe"
            )

    def _count(self) -> None:
        with suppress(RebusError):  # the scan meets the same, and reports it
            for scan in self._scans:
                for folder in scan.folders():
                    self._counted += len(folder.media)
                    if self._stop.is_set():
                        return
            self._whole = True
