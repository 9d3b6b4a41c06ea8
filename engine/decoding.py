"""Decoding in processes of its own, which can be killed: a hostile file may crash, hang or fill one, and never the run.

A decoder is this module run as a program. It reads requests from its standard input and writes answers to its
standard output, each a JSON header and raw bytes: nothing that comes back from a decoder is ever unpickled.
"""

import dataclasses
import importlib
import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media import Facts, Passage, read_media
from engine.media.files import file_size, hash_file
from engine.media.fitting import ImageInput
from engine.thumbnails import save_thumbnail, thumbnail_file
from engine.types import U8, Modality

_LENGTHS = struct.Struct("<II")  # bytes of the JSON header and of the payload
_LARGEST_HEADER = 64 * 2**20
_WATCH_S = 0.05
_LIBRARIES = 512 * 2**20  # bytes of addresses that Python and the decoders' own code take
_PHASH_SIDE = 32
_WAVES = np.cos(np.pi / (2 * _PHASH_SIDE) * np.outer(np.arange(8), 2 * np.arange(_PHASH_SIDE) + 1))  # of a DCT-II
_SLOW_DISK = 50 * 2**20  # bytes a second
_NICE = 5  # decoders use what the encoder leaves: it waits for a whole batch, they for nothing
_START_S = 60.0  # a decoder's imports, on a busy machine, are not the file's time


@dataclasses.dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame ready for the encoder: pixels as its ImageInput has them. thumbnail: bytes of the one that was stored."""

    position: int
    width: int
    height: int
    phash: str | None
    pixels: U8
    thumbnail: int


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """A file ready to be written to the library."""

    modality: Modality
    content_hash: str
    bytes: int
    frames: tuple[DecodedFrame, ...]
    passages: tuple[Passage, ...]
    facts: Facts


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What a decoder makes of each frame. home: the library whose thumbnails it stores, "" for none.

    phash: whether to compute one.
    """

    input: ImageInput
    home: str = ""
    thumbnail_pixels: int = 0
    phash: bool = True

    @property
    def at_least(self) -> int:
        """Pixels of the shorter side that pictures must keep."""
        return max(self.input.shorter_side, self.thumbnail_pixels)


class DecoderPool:
    """Decoder processes, each fed by a thread. `submit` returns a future of Decoded or MediaError, never raising it.

    wanted: what is made of each file; it may be set until the first one is submitted. A thumbnail is stored before the
    future is done; the future raises OSError when it cannot be, as on a full disk.
    """

    def __init__(self, settings: MediaSettings, wanted: Wanted | None = None) -> None:
        self.wanted = wanted
        self._queue: queue.SimpleQueue[tuple[Path | None, Future[Decoded | MediaError]] | None] = queue.SimpleQueue()
        self._decoders = [_Decoder(settings) for _ in range(settings.workers or usable_cores())]
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

    def _feed(self, decoder: "_Decoder") -> None:
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


class _Decoder:
    """One process, started when it is first needed and again after it was killed or died."""

    def __init__(self, settings: MediaSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline: float | None = None
        self._late = self._closing = False
        self._starting = threading.Lock()  # nothing is started once it is closing

    def decode(self, path: Path, wanted: Wanted) -> Decoded:
        """Raises MediaError, also when the process dies of the file or is killed for taking too long."""
        process = self.start()
        self._late, self._deadline = False, time.monotonic() + self.settings.max_seconds + _reading_time(path)
        try:
            assert process.stdin is not None and process.stdout is not None
            _write(process.stdin, {"path": os.fsencode(path).hex(), "wanted": dataclasses.asdict(wanted)}, b"")
            answer = _read(process.stdout)
        except (EOFError, OSError, ValueError, struct.error):
            raise self._autopsy(process) from None
        finally:
            self._deadline = None
        return _parse(*answer)

    def start(self) -> "subprocess.Popen[bytes]":
        """The running process. Raises MediaError when it was killed for good."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        with self._starting:
            if self._closing:
                raise _stopped()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.decoding"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the run to handle: it closes its decoders itself
            )
        order = {"settings": dataclasses.asdict(self.settings)}
        self._late, self._deadline = False, time.monotonic() + _START_S
        try:
            assert self._process.stdin is not None and self._process.stdout is not None
            _write(self._process.stdin, order, b"")
            _read(self._process.stdout)
        except (EOFError, OSError, ValueError, struct.error):
            if not self._closing:
                raise RuntimeError("a decoder process could not be started: see `rebus doctor`") from None
            raise _stopped() from None
        return self._process

    def _autopsy(self, process: "subprocess.Popen[bytes]") -> MediaError:
        late = self._late
        self.end()
        if self._closing:
            return _stopped()
        if late:
            reason = f"reading it took longer than {self.settings.max_seconds:g} seconds"
            return MediaError("decode", reason, "raise media.max_seconds, or repair the file")
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit {process.returncode}"
        return MediaError(
            "decode", f"its decoder crashed ({how})", "the file is damaged: copy it again from its source"
        )

    def kill_if_late(self) -> None:
        deadline = self._deadline
        if deadline is not None and time.monotonic() > deadline:
            self._late = True
            self._kill()

    def kill(self) -> None:
        """End the process at once, for good."""
        with self._starting:
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
        if self._process is not None:
            self._kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe:
                    with suppress(OSError):
                        pipe.close()
            self._process = None


def _reading_time(path: Path) -> float:
    """Seconds that a slow disk may take to read a whole large file, as its content hash does."""
    try:
        return path.stat().st_size / _SLOW_DISK
    except OSError:
        return 0.0


def _stopped() -> MediaError:
    return MediaError("decode", "indexing was stopped", "run `rebus index` again")


def _write(pipe: IO[bytes], header: dict[str, Any], payload: bytes) -> None:
    text = json.dumps(header).encode()
    pipe.write(_LENGTHS.pack(len(text), len(payload)) + text + payload)
    pipe.flush()


def _read(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    sizes = pipe.read(_LENGTHS.size)
    if len(sizes) < _LENGTHS.size:
        raise EOFError
    header, payload = _LENGTHS.unpack(sizes)
    if header > _LARGEST_HEADER:
        raise ValueError("a header without measure")
    text, data = pipe.read(header), pipe.read(payload)
    if len(text) < header or len(data) < payload:
        raise EOFError
    parsed: dict[str, Any] = json.loads(text)
    return parsed, data


def _parse(header: dict[str, Any], payload: bytes) -> Decoded:
    if "error" in header:
        raise MediaError(**header["error"])
    if "refused" in header:
        raise OSError(*header["refused"])
    frames, start = [], 0
    for facts in header["frames"]:
        height, width = facts.pop("shape"), facts.pop("across")
        size = height * width * 3
        frames.append(
            DecodedFrame(**facts, pixels=np.frombuffer(payload, np.uint8, size, start).reshape(height, width, 3))
        )
        start += size
    facts = {**header["facts"], "keywords": tuple(header["facts"]["keywords"])}
    passages = tuple(Passage(**passage) for passage in header["passages"])
    modality, content, size = Modality(header["modality"]), header["content_hash"], header["bytes"]
    return Decoded(modality, content, size, tuple(frames), passages, Facts(**facts))


def main() -> None:
    """The decoder's side: answer requests until the pipe closes."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not come between answers
    if hasattr(os, "nice"):
        os.nice(_NICE)
    order, _ = _read(requests)
    settings = MediaSettings(**order["settings"])
    importlib.import_module("engine.media.pictures")  # is not the first file's time
    _limit(settings)
    _write(answers, {}, b"")
    with suppress(EOFError, BrokenPipeError):
        while True:
            request, _ = _read(requests)
            path = Path(os.fsdecode(bytes.fromhex(request["path"])))
            wanted = Wanted(ImageInput(**request["wanted"].pop("input")), **request["wanted"])
            try:
                header, payload = _answer(path, settings, wanted)
            except MediaError as error:
                header, payload = {"error": {"stage": error.stage, "reason": error.reason, "hint": error.hint}}, b""
            except MemoryError:
                reason = f"reading it takes more than {settings.max_memory / 2**30:.1f} GiB of memory"
                header, payload = (
                    {"error": {"stage": "decode", "reason": reason, "hint": "raise media.max_memory"}},
                    b"",
                )
            except OSError as error:  # no thumbnail can be stored
                header, payload = {"refused": [error.errno, error.strerror]}, b""
            _write(answers, header, payload)


def _answer(path: Path, settings: MediaSettings, wanted: Wanted) -> tuple[dict[str, Any], bytes]:
    from engine.media.ocr import enough_pixels, words_in
    from engine.media.pictures import thumbnail

    started = time.monotonic()
    media = read_media(path, settings, enough_pixels(settings, wanted.at_least))
    media = dataclasses.replace(media, passages=(*media.passages, *words_in(media, settings, started)))
    content_hash = hash_file(path, max(settings.max_bytes, settings.max_film_bytes))
    frames, parts = [], []
    for frame in media.frames:
        pixels = wanted.input.fit(frame.image)
        parts.append(pixels.tobytes())
        jpeg = b""
        if wanted.home:
            jpeg = thumbnail(frame.image, wanted.thumbnail_pixels)
            save_thumbnail(thumbnail_file(Path(wanted.home), content_hash, frame.position), jpeg)
        facts: dict[str, Any] = {
            "position": frame.position,
            "width": frame.width,
            "height": frame.height,
            "phash": None,
        }
        if wanted.phash:
            facts["phash"] = perceptual_hash(frame.image)
        frames.append({**facts, "shape": pixels.shape[0], "across": pixels.shape[1], "thumbnail": len(jpeg)})
    header = {
        "modality": media.modality,
        "content_hash": content_hash,
        "bytes": file_size(path),
        "frames": frames,
        "passages": [dataclasses.asdict(passage) for passage in media.passages],
        "facts": dataclasses.asdict(media.facts),
    }
    return header, b"".join(parts)


def perceptual_hash(image: Image.Image) -> str:
    """64 bits in hexadecimal: which of the 8 x 8 slowest waves of a grey 32 x 32 picture are above their median.

    Bit for bit imagehash's phash, whose SciPy takes half a second to import and twice the time a picture. The picture
    is made small in two steps, which again halves the time.
    """
    small = image.convert("L").resize((_PHASH_SIDE, _PHASH_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    waves = np.round(_WAVES @ np.asarray(small, np.float64) @ _WAVES.T, 6).ravel()  # a flat picture's are exactly 0
    middle = np.sort(waves)[31:33].mean()
    return np.packbits(waves > middle).tobytes().hex()


def _limit(settings: MediaSettings) -> None:
    """Bound the memory of this process, and let it leave no core file."""
    with suppress(ImportError, ValueError, OSError):  # not on every platform
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = settings.max_memory + _LIBRARIES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def decode_all(pool: DecoderPool, paths: Sequence[Path], window: int = 64) -> Iterator["Decoded | MediaError"]:
    """Each file's outcome, in order; at most `window` files are ahead of the reader."""
    waiting: list[Future[Decoded | MediaError]] = []
    for path in paths:
        waiting.append(pool.submit(path))
        if len(waiting) >= window:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


if __name__ == "__main__":
    main()
