"""The uploads' side of the pipe: run as a program, it decodes pictures that it is sent until the pipe closes."""

from contextlib import suppress
from typing import Any

from PIL.Image import Image

from engine.decoding.decoder import begun
from engine.decoding.messages import receive, send
from engine.errors import InvalidInput, TooLarge
from engine.media.pictures import decode_upload


def main() -> None:
    """Answer requests until the pipe closes."""
    requests, answers, settings = begun()
    with suppress(EOFError, BrokenPipeError):
        while True:
            request, data = receive(requests)
            send(answers, *_answer(data, settings.max_bytes, settings.max_pixels, request["at_least"]))


def _answer(data: bytes, max_bytes: int, max_pixels: int, at_least: int) -> tuple[dict[str, Any], bytes]:
    try:
        image = _reduced(decode_upload(data, max_bytes, max_pixels, at_least), 2 * at_least)
    except InvalidInput as error:
        return {"refused": str(error), "large": isinstance(error, TooLarge)}, b""
    except MemoryError:
        return {"refused": "the picture cannot be used: it takes too much memory", "large": True}, b""
    return {"size": image.size}, image.tobytes()


def _reduced(image: Image, enough: int) -> Image:
    """Averaged down while its short side stays `enough`, so that several pictures of one query fit in memory."""
    factor = min(image.size) // enough
    return image.reduce(factor) if factor > 1 else image


if __name__ == "__main__":
    main()
