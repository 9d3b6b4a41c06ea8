"""Messages over a pipe: the lengths of a JSON header and of raw bytes, then both."""

import json
import struct
from typing import IO, Any

_LENGTHS = struct.Struct("<II")  # bytes of the JSON header and of the payload
_LARGEST_HEADER = 64 * 2**20
BROKEN = (EOFError, OSError, ValueError, struct.error)  # what a pipe whose other end died or errs may raise


def send(pipe: IO[bytes], header: dict[str, Any], payload: bytes) -> None:
    text = json.dumps(header).encode()
    pipe.write(_LENGTHS.pack(len(text), len(payload)) + text + payload)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
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
