"""What the benchmarks share: libraries that are thrown away, and the memory of a run."""

import resource
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from engine.config import Config, load_config

_LOOKS = 20  # at memory, until children are looked for again


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def library(place: Path) -> Iterator[Config]:
    """Settings of a new library, which is deleted afterwards."""
    home = Path(tempfile.mkdtemp(dir=place))
    try:
        yield load_config(home, environ={})
    finally:
        shutil.rmtree(home)


class Cores:
    """What the cores that this process may use did while it worked (a context): `row` is of use after it."""

    def __enter__(self) -> "Cores":
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.own, self.others, self.idle = (
            after - before for after, before in zip(self._now(), self._before, strict=True)
        )

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds of this process and its ended children, of all others, and of nobody."""
        times = psutil.cpu_times(percpu=True)
        mine = [times[core] for core in psutil.Process().cpu_affinity()]
        idle = sum(one.idle + one.iowait for one in mine)
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(one.ru_utime + one.ru_stime for one in used)
        return own, sum(sum(one[:8]) for one in mine) - idle - own, idle

    def row(self, pictures: int) -> dict[str, float]:
        """Milliseconds of a core's time a picture."""
        named = {"own_core_ms": self.own, "others_core_ms": self.others, "idle_core_ms": self.idle}
        return {name: round(max(0.0, seconds) / pictures * 1e3, 3) for name, seconds in named.items()}


class Memory:
    """The memory of this process and its decoders (a context): before, at its peak, and at each tenth of the work.

    To look costs a thousandth of what it looks at: counting pages one by one, as psutil's `uss` does, took 60 ms of a
    core each time, six of a hundred of the run that was measured, and finding the decoders among all processes takes 5.
    """

    def __init__(self) -> None:
        self._looks = 0
        self._processes: list[psutil.Process] = []
        self.before = self.peak = self.now()
        self.readings = list[float]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def now(self) -> float:
        """Megabytes that these processes filled themselves: without files that are mapped, such as libraries."""
        if self._looks % _LOOKS == 0:
            me = psutil.Process()
            self._processes = [me, *me.children(recursive=True)]
        self._looks += 1
        total = 0
        for process in self._processes:
            with suppress(psutil.Error):
                held = process.memory_info()
                total += held.rss - held.shared
        return total / 1e6

    def tell(self, what: str, done: int, total: int) -> None:
        """A progress listener."""
        if what == "indexing" and total and done * 10 // total > len(self.readings):
            self.readings.append(round(self.now()))

    def row(self) -> dict[str, object]:
        """The figures, in megabytes."""
        figures = {"before_mb": round(self.before), "peak_mb": round(self.peak)}
        return {**figures, **({"memory_by_tenths_mb": self.readings} if self.readings else {})}

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.peak = max(self.peak, self.now())
