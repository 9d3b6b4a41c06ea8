"""Pictures that people send as queries, decoded in processes that can be killed: one that takes too long ends alone."""

import queue
import threading
import weakref
from collections.abc import Sequence

from PIL import Image

from engine.config import MediaSettings
from engine.decoding.process import DecoderProcess
from engine.errors import InvalidInput, MediaError, NotReady, TooLarge

_PATIENCE = 3.0  # how many slow pictures one waits for


class UploadDecoder:
    """A few decoder processes, each started when all others are busy, and kept. Safe to share between threads.

    settings: the limits in force, of which bytes, pixels, seconds and memory count. most: processes at once.
    """

    def __init__(self, settings: MediaSettings, most: int = 2) -> None:
        self._settings = settings
        self._processes = [_Process(settings) for _ in range(most)]
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()  # the last one used is running already
        for process in self._processes:
            self._idle.put(process)
        weakref.finalize(self, _end, self._processes)  # also when the program ends

    def start(self) -> None:
        """Start one process now, so that the first picture waits for none."""
        process = self._idle.get()
        try:
            process.start()
        finally:
            self._idle.put(process)

    def decode(self, data: bytes, at_least: int) -> Image.Image:
        """A picture as RGB pixels, upright; its shorter side keeps `at_least` pixels where it has them.

        Raises TooLarge beyond a limit, InvalidInput for what is no picture, NotReady while too many others take long.
        """
        if len(data) > self._settings.max_bytes:
            limit = f"the limit is {self._settings.max_bytes:,}"
            raise TooLarge(f"the picture has {len(data):,} bytes, {limit}: send a smaller one")
        try:
            process = self._idle.get(timeout=_PATIENCE * self._settings.max_seconds)
        except queue.Empty:
            raise NotReady("too many pictures are being read: ask again in a moment") from None
        try:
            return process.decoded(data, at_least)
        finally:
            self._idle.put(process)


class _Process(DecoderProcess):
    program = "engine.decoding.upload_decoder"

    def decoded(self, data: bytes, at_least: int) -> Image.Image:
        process = self.start()
        late = threading.Timer(self.settings.max_seconds + 0.01, self.kill_if_late)
        late.daemon = True
        late.start()
        try:
            header, payload = self.asked(process, {"at_least": at_least}, data)
        except MediaError as error:
            kind = TooLarge if "longer than" in error.reason else InvalidInput
            raise kind(f"the picture cannot be used: {error.reason}: send a smaller or simpler one") from None
        finally:
            late.cancel()
        if "refused" in header:
            raise (TooLarge if header["large"] else InvalidInput)(header["refused"])
        return Image.frombytes("RGB", tuple(header["size"]), payload)


def _end(processes: Sequence[DecoderProcess]) -> None:
    for process in processes:
        process.kill()
        process.end()
