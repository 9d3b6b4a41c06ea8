"""Decoder processes, each fed by a thread."""

import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from engine.config import MediaSettings
from engine.decoding.contract import Decoded, Wanted
from engine.decoding.process import DecoderProcess
from engine.errors import MediaError

_WATCH_S = 0.05


class DecoderPool:
    """Decoder processes, each fed by a thread. `submit` returns a future of Decoded or MediaError, never raising it.

    wanted: what is made of each file; it may be set until the first one is submitted. A thumbnail is stored before the
    future is done; the future raises OSError when it cannot be, as on a full disk.
    """

    def __init__(self, settings: MediaSettings, wanted: Wanted | None = None) -> None:
        self.wanted = wanted
        self._queue: queue.SimpleQueue[tuple[Path | None, Future[Decoded | MediaError]] | None] = queue.SimpleQueue()
        self._decoders = [DecoderProcess(settings) for _ in range(settings.workers or usable_cores())]
        self._threads = [
            threading.Thread(target=self._feed, args=(decoder,), name="decode", daemon=True)
            for decoder in self._decoders
        ]
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._kill_the_late, name="decode-watch", daemon=True)
        for thread in (*self._threads, self._watch):
            thread.start()

    def __enter__(self) -> "DecoderPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the processes now, beside the caller's own work, and not with the first file."""
        for _ in self._decoders:
            self._queue.put((None, Future()))

    def submit(self, path: Path) -> "Future[Decoded | MediaError]":
        """Decode a file as soon as a process is free."""
        future: Future[Decoded | MediaError] = Future()
        self._queue.put((path, future))
        return future

    def close(self) -> None:
        """Kill the processes, whatever they are doing, and cancel what waits."""
        self._closed.set()
        with suppress(queue.Empty):
            while True:
                work = self._queue.get_nowait()
                if work is not None:
                    work[1].cancel()
        for _ in self._threads:
            self._queue.put(None)
        for decoder in self._decoders:
            decoder.kill()
        for thread in (*self._threads, self._watch):
            thread.join()
        for decoder in self._decoders:
            decoder.end()

    def _feed(self, decoder: DecoderProcess) -> None:
        while (work := self._queue.get()) is not None:
            path, future = work
            if not future.set_running_or_notify_cancel():
                continue
            try:
                if path is None:
                    decoder.start()
                    continue
                assert self.wanted is not None
                future.set_result(decoder.decode(path, self.wanted))
            except MediaError as error:
                future.set_result(error)
            except BaseException as error:  # the caller's thread must hear of it, whatever it is
                future.set_exception(error)

    def _kill_the_late(self) -> None:
        while not self._closed.wait(_WATCH_S):
            for decoder in self._decoders:
                decoder.kill_if_late()


def usable_cores() -> int:
    """How many cores this process may use: containers and schedulers grant fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_all(pool: DecoderPool, paths: Sequence[Path], window: int = 64) -> Iterator["Decoded | MediaError"]:
    """Each file's outcome, in order; at most `window` files are ahead of the reader."""
    waiting: list[Future[Decoded | MediaError]] = []
    for path in paths:
        waiting.append(pool.submit(path))
        if len(waiting) >= window:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()
