"""One decoder process, as the run sees it: started, asked, killed when it is late."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import MediaSettings
from engine.decoding.contract import Decoded, DecodedFrame, Wanted
from engine.decoding.messages import BROKEN, receive, send
from engine.errors import MediaError
from engine.media import Facts, Passage
from engine.types import Modality

_SLOW_DISK = 50 * 2**20  # bytes a second
_START_S = 60.0  # a decoder's imports, on a busy machine, are not the file's time
_BUFFER = 1 << 18  # bytes: an answer is read at once, not in pieces for each of which this process takes its turn

# Memory of pictures is kept for the next one, up to some megabytes: asking the system for it anew for each, which glibc
# and Pillow do otherwise, took a fifth of a decoder's time.
_MEMORY = {
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(16 * 2**20),
    "MALLOC_TOP_PAD_": str(4 * 2**20),
    "PILLOW_BLOCK_SIZE": "1m",
    "PILLOW_BLOCKS_MAX": "16",
}


class DecoderProcess:
    """One process, started when it is first needed and again after it was killed or died."""

    program = "engine.decoding.decoder"

    def __init__(self, settings: MediaSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None
        self._told: Wanted | None = None  # by this process
        self._late = self._closing = False
        self.ready = False  # until it is started, and so busy with no file
        self._guard = threading.Lock()  # nothing is started once it is closing, and what is killed is what was late

    def decode(self, path: Path, wanted: Wanted) -> Decoded:
        """Raises MediaError, also when the process dies of the file or is killed for taking too long."""
        process = self.start()
        request: dict[str, Any] = {"path": os.fsencode(path).hex()}
        if self._told is not wanted:
            request["wanted"], self._told = dataclasses.asdict(wanted), wanted
        return _parse(*self.asked(process, request, b"", _reading_time(path)))

    def asked(
        self, process: "subprocess.Popen[bytes]", request: dict[str, Any], payload: bytes, more_s: float = 0.0
    ) -> tuple[dict[str, Any], bytes]:
        """The answer to a request, `max_seconds` and `more_s` from now at the latest. Raises MediaError without one."""
        assert process.stdin is not None and process.stdout is not None
        with self._limited(self.settings.max_seconds + more_s):
            try:
                send(process.stdin, request, payload)
                return receive(process.stdout)
            except BROKEN:
                raise self._autopsy(process) from None

    def start(self) -> "subprocess.Popen[bytes]":
        """The running process. Raises MediaError when it was killed for good."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"} | _MEMORY
        with self._guard:
            if self._closing:
                raise _stopped()
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", self.program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=_BUFFER,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the run to handle: it closes its decoders itself
            )
        self._told = None
        order = {"settings": dataclasses.asdict(self.settings)}
        assert process.stdin is not None and process.stdout is not None
        with self._limited(_START_S):
            try:
                send(process.stdin, order, b"")
                receive(process.stdout)
            except BROKEN:
                if not self._closing:
                    raise RuntimeError("a decoder process could not be started: see `rebus doctor`") from None
                raise _stopped() from None
        self.ready = True
        return process

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Until when the process is not late. One that was killed just when it had answered is ended: it is no crash of
        the next file.
        """
        with self._guard:
            self._late, self._deadline = False, time.monotonic() + seconds
        try:
            yield
        finally:
            with self._guard:
                self._deadline = None
            if self._late:
                self.end()

    def _autopsy(self, process: "subprocess.Popen[bytes]") -> MediaError:
        late = self._late
        self.end()
        if self._closing:
            return _stopped()
        if late:
            reason = f"reading it took longer than {self.settings.max_seconds:g} seconds"
            return MediaError("decode", reason, "raise media.max_seconds, or repair the file")
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit {code}"
        return MediaError(
            "decode", f"its decoder crashed ({how})", "the file is damaged: copy it again from its source"
        )

    def kill_if_late(self) -> None:
        with self._guard:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._late = True
                self._kill()

    def kill(self) -> None:
        """End the process at once, for good."""
        with self._guard:
            self._closing = True
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg") and self._process.poll() is None:
                    os.killpg(self._process.pid, signal.SIGKILL)  # a program that it runs, such as tesseract, too
                self._process.kill()

    def end(self) -> None:
        """Kill the process and wait for it."""
        with self._guard:
            self._kill()
            process, self._process, self.ready = self._process, None, False
        if process is not None:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with suppress(OSError):
                        pipe.close()


def _reading_time(path: Path) -> float:
    """Seconds that a slow disk may take to read a whole large file, as its content hash does."""
    try:
        return path.stat().st_size / _SLOW_DISK
    except OSError:
        return 0.0


def _stopped() -> MediaError:
    return MediaError("decode", "indexing was stopped", "run `rebus index` again")


def _parse(header: dict[str, Any], payload: bytes) -> Decoded:
    if "error" in header:
        raise MediaError(**header["error"])
    if "refused" in header:
        raise OSError(*header["refused"])
    frames, start = [], 0
    for facts in header["frames"]:
        height, width = facts.pop("shape")
        size = height * width * 3
        frames.append(
            DecodedFrame(**facts, pixels=np.frombuffer(payload, np.uint8, size, start).reshape(height, width, 3))
        )
        start += size
    facts = {**header["facts"], "keywords": tuple(header["facts"]["keywords"])}
    passages = tuple(Passage(**passage) for passage in header["passages"])
    modality, content, size = Modality(header["modality"]), header["content_hash"], header["bytes"]
    return Decoded(modality, content, size, tuple(frames), passages, Facts(**facts))
