"""Film and sound files, opened with PyAV from bytes that were already opened safely, and what they say of themselves.

FFmpeg knows formats that are lists of other files and addresses, and takes a file for one whatever its name. The
format is therefore chosen here, by the first bytes, among those that hold everything themselves.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Facts, Passage
from engine.media.files import open_file
from engine.media.limits import damaged
from engine.media.text import tidy

av.logging.set_level(None)  # what is wrong with a file is told by its MediaError

_HEAD = 4096
_MAGIC = (  # (offset, bytes, FFmpeg's name)
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (4, b"free", "mov"),
    (4, b"skip", "mov"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (8, b"WAVE", "wav"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"\0\0\x01\xb3", "mpegvideo"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
)
_PACKETS = ((0, 188), (4, 192))  # where a transport stream's packets begin, and their length
_LONGEST_MS = 366 * 24 * 3600 * 1000
_PLACE = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")  # ISO 6709, degrees
_WORDS = ("title", "artist", "album", "description", "synopsis", "comment")


@contextmanager
def opened(path: Path, settings: MediaSettings) -> Iterator[InputContainer]:
    """The container of a film or sound. Raises MediaError for what is none, and for all that FFmpeg raises inside."""
    with open_file(path, settings.max_film_bytes) as file:
        form = _format(file.read(_HEAD), path.suffix.lower())
        file.seek(0)
        try:
            # No list of allowed protocols lets a format open another file.
            options = {"protocol_whitelist": "none"}
            with av.open(file, "r", format=form, options=options, metadata_errors="replace") as container:
                yield container
        except (av.error.FFmpegError, EOFError) as error:
            raise damaged(error) from None


def _format(head: bytes, ending: str) -> str:
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            return name
    for start, length in _PACKETS:
        if len(head) > start + 2 * length and all(head[start + n * length] == 0x47 for n in range(3)):
            return "mpegts"
    if head.startswith(b"ID3") or (head[0] == 0xFF and len(head) > 1 and head[1] & 0xE0 == 0xE0):
        return {".aac": "aac", ".flac": "flac"}.get(ending, "mp3")
    raise MediaError("decode", "not a film or sound in a known format", "check that the name's ending tells the truth")


def facts_of(container: InputContainer) -> Facts:
    """Duration, title, date, place and camera, as far as the container says them."""
    told = _told(container)
    duration = container.duration // 1000 if container.duration else None
    latitude, longitude = _place(told.get("com.apple.quicktime.location.iso6709") or told.get("location") or "")
    maker = (told.get(f"com.apple.quicktime.{key}") or told.get(key) or "" for key in ("make", "model"))
    return Facts(
        taken_at=_moment(told.get("com.apple.quicktime.creationdate") or told.get("creation_time") or ""),
        camera=tidy(" ".join(maker), 200) or None,
        latitude=latitude,
        longitude=longitude,
        title=tidy(told.get("title", ""), 500) or None,
        duration_ms=duration if duration is not None and 0 <= duration <= _LONGEST_MS else None,
    )


def words_of(container: InputContainer, source: str) -> tuple[Passage, ...]:
    """Title, artist and album as one passage, and each text about it as one more."""
    told = _told(container)
    name = ", ".join(filter(None, (tidy(told.get(key, ""), 300) for key in _WORDS[:3])))
    texts = (name, *(tidy(told.get(key, "")) for key in _WORDS[3:]))
    return tuple(Passage(text, source) for text in dict.fromkeys(texts) if text)


def _told(container: InputContainer) -> dict[str, str]:
    """Metadata by lower-case key; that of an only stream counts too, as Ogg keeps it there."""
    streams = [stream.metadata for stream in container.streams] if len(container.streams) == 1 else []
    return {str(key).lower(): str(value) for found in (*streams, container.metadata) for key, value in found.items()}


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.timestamp() if moment.year > 1970 else None  # recorders without a clock begin at 1904 or 1970


def _place(text: str) -> tuple[float, float] | tuple[None, None]:
    found = _PLACE.match(text.strip())
    if not found:
        return None, None
    latitude, longitude = float(found[1]), float(found[2])
    inside = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0, 0)
    return (latitude, longitude) if inside else (None, None)
