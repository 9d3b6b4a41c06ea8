"""Pictures that people send as queries, decoded in processes that can be killed: one that takes too long ends alone."""

import queue
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from PIL import Image

from engine.config import MediaSettings
from engine.decoding.process import DecoderProcess
from engine.errors import Busy, InvalidInput, MediaError, TooLarge

_PATIENCE_S = 1.5  # a picture takes milliseconds: where all processes are busy for so long, they are with slow ones
_RETRY_S = 5
_WATCH_S = 0.05


class UploadDecoder:
    """A few decoder processes, each started when all others are busy, and kept. Safe to share between threads.

    settings: the limits in force, of which bytes, pixels, seconds and memory count. most: processes at once.
    room: how many threads are decoded for or wait, at most: so many does a flood of slow pictures hold.
    """

    def __init__(self, settings: MediaSettings, most: int = 2, room: int = 4) -> None:
        self._settings = settings
        self._room = threading.BoundedSemaphore(room)
        self._processes = [_Process(settings) for _ in range(most)]
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()  # the last one used is running already
        for process in self._processes:
            self._idle.put(process)
        self.end = weakref.finalize(self, _end, self._processes)  # also when the program ends

    def start(self) -> None:
        """Start one process now, so that the first picture waits for none."""
        process = self._idle.get()
        try:
            process.start()
        finally:
            self._idle.put(process)

    def decode(self, data: bytes, at_least: int) -> Image.Image:
        """A picture as RGB pixels, upright; its shorter side keeps `at_least` pixels where it has them.

        Raises TooLarge beyond a limit, InvalidInput for what is no picture, Busy while too many others are read.
        """
        if len(data) > self._settings.max_bytes:
            limit = f"the limit is {self._settings.max_bytes:,}"
            raise TooLarge(f"the picture has {len(data):,} bytes, {limit}: send a smaller one")
        if not self._room.acquire(blocking=False):
            raise too_many_pictures()
        try:
            return self._decoded(data, at_least)
        finally:
            self._room.release()

    def _decoded(self, data: bytes, at_least: int) -> Image.Image:
        process = self._free()
        try:
            return process.decoded(data, at_least)
        finally:
            self._idle.put(process)

    def _free(self) -> "_Process":
        """A process of the caller's own. Raises Busy where all are with slow pictures, as one that starts is not."""
        while True:
            with suppress(queue.Empty):
                return self._idle.get(timeout=_PATIENCE_S)
            if all(process.ready for process in self._processes):
                raise too_many_pictures()


class _Process(DecoderProcess):
    program = "engine.decoding.upload_decoder"

    def decoded(self, data: bytes, at_least: int) -> Image.Image:
        try:
            with self._watched():
                header, payload = self.asked(self.start(), {"at_least": at_least}, data)
        except MediaError as error:
            kind = TooLarge if "longer than" in error.reason else InvalidInput
            raise kind(f"the picture cannot be used: {error.reason}: send a smaller or simpler one") from None
        if "refused" in header:
            raise (TooLarge if header["large"] else InvalidInput)(header["refused"])
        return Image.frombytes("RGB", tuple(header["size"]), payload)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Look again and again: on a busy machine the deadline may be set after any time that is chosen ahead."""
        answered = threading.Event()

        def look() -> None:
            while not answered.wait(_WATCH_S):
                self.kill_if_late()

        watch = threading.Thread(target=look, name="upload-watch", daemon=True)
        watch.start()
        try:
            yield
        finally:
            answered.set()
            watch.join()


def too_many_pictures() -> Busy:
    """What is said to who cannot be served now."""
    return Busy("too many pictures are being read: ask again in a moment", _RETRY_S)


def _end(processes: Sequence[DecoderProcess]) -> None:
    for process in processes:
        process.kill()
        process.end()
