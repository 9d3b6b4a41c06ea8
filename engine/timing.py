"""When searches do what: the time of each stage, and how many may rank at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_AT_ONCE = 2  # one in Python, one in FAISS or SQLite
_PATIENCE_S = 0.1


class Trace:
    """What a search did. took: milliseconds by stage. depths: see Results."""

    def __init__(self) -> None:
        self.took: dict[str, float] = {}
        self.depths: dict[str, Any] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.took[stage] = self.took.get(stage, 0.0) + (time.perf_counter() - start) * 1000


class Turns:
    """Few threads work at once, and the others sleep: where each lets go of the interpreter's lock for moments, as at
    every row of SQLite, many would wake each other hundreds of times a search.
    """

    def __init__(self, at_once: int = _AT_ONCE, patience_s: float = _PATIENCE_S) -> None:
        self._free, self._patience_s = threading.Semaphore(at_once), patience_s

    @contextmanager
    def taken(self, trace: Trace) -> Iterator[None]:
        """A turn. Who waited long, behind slow ones, goes on without.

        trace: is told how long one waited, as the stage `wait`, where one had to.
        """
        mine = self._free.acquire(blocking=False)
        if not mine:
            with trace.timed("wait"):
                mine = self._free.acquire(timeout=self._patience_s)
        try:
            yield
        finally:
            if mine:
                self._free.release()
