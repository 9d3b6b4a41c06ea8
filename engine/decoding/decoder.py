"""The decoder's side of the pipe: run as a program, it answers requests until the pipe closes."""

import dataclasses
import gc
import importlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from engine.config import MediaSettings
from engine.decoding.contract import Wanted
from engine.decoding.hashes import perceptual_hash
from engine.decoding.messages import receive, send
from engine.errors import MediaError
from engine.media import Facts, read_media
from engine.media.files import hash_and_size
from engine.media.fitting import ImageInput
from engine.thumbnails import save_thumbnail, thumbnail_file

_LIBRARIES = 512 * 2**20  # bytes of addresses that Python and the decoders' own code take
_FACTS = [field.name for field in dataclasses.fields(Facts)]
_NICE = 5  # decoders use what the encoder leaves: it waits for a whole batch, they for nothing


def main() -> None:
    """The decoder's side: answer requests until the pipe closes."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    requests, answers, settings = begun()
    with suppress(EOFError, BrokenPipeError):
        while True:
            request, _ = receive(requests)
            path = Path(os.fsdecode(bytes.fromhex(request["path"])))
            if "wanted" in request:  # as long as nothing else is said
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
            send(answers, header, payload)


def begun() -> tuple[IO[bytes], IO[bytes], MediaSettings]:
    """The pipe's two ends, once the process is ready: bounded, and with its libraries loaded."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not come between answers
    order, _ = receive(requests)
    settings = MediaSettings(**order["settings"])
    importlib.import_module("engine.media.pictures")  # is not the first file's time
    _limit(settings)
    gc.freeze()  # what was imported stays: it need not be looked through for what can go
    send(answers, {}, b"")
    return requests, answers, settings


def _answer(path: Path, settings: MediaSettings, wanted: Wanted) -> tuple[dict[str, Any], bytes]:
    from engine.media.ocr import enough_pixels, words_in
    from engine.media.pictures import thumbnail

    started = time.monotonic()
    media = read_media(path, settings, enough_pixels(settings, wanted.at_least))
    passages = *media.passages, *words_in(media, settings, started)
    content_hash, size = media.content or hash_and_size(path, max(settings.max_bytes, settings.max_film_bytes))
    frames, parts = [], []
    for frame in media.frames:
        pixels = wanted.input.fit(frame.image)
        parts.append(pixels.tobytes())
        jpeg = b""
        if wanted.home:
            jpeg = thumbnail(frame.image, wanted.thumbnail_pixels)
            save_thumbnail(thumbnail_file(Path(wanted.home), content_hash, frame.position), jpeg)
        facts = {
            "position": frame.position,
            "width": frame.width,
            "height": frame.height,
            "phash": perceptual_hash(frame.image) if wanted.phash else None,
            "shape": pixels.shape[:2],
            "thumbnail": len(jpeg),
        }
        frames.append(facts)
    header = {
        "modality": media.modality,
        "content_hash": content_hash,
        "bytes": size,
        "frames": frames,
        "passages": [dataclasses.asdict(passage) for passage in passages],
        "facts": {name: said for name in _FACTS if (said := getattr(media.facts, name)) is not None},
    }
    return header, b"".join(parts)


def _limit(settings: MediaSettings) -> None:
    """Bound the memory of this process, and let it leave no core file."""
    with suppress(ImportError, ValueError, OSError):  # not on every platform
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = settings.max_memory + _LIBRARIES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
