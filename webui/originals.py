"""Original files as they may be given beyond this machine: without the place, serial numbers and makers' notes in them.

A JPEG, a PNG, a WebP and a GIF lose their metadata, and not a bit of their picture. Films, sounds and texts are given
as they are when they hold nothing of the sort, and else kept back: nothing is encoded anew. Other pictures, PDFs and
drawings are always kept back: they have metadata in ways too many to be followed. What a file is its bytes say.
"""

import functools
import io
import re
from pathlib import Path

import av
from av.stream import Disposition
from PIL import Image, UnidentifiedImageError

from engine.errors import MediaError, RebusError
from engine.media import modality_of
from engine.media.files import read_file
from engine.media.pictures import FORMATS
from engine.media.text import decode_words
from engine.types import Modality
from webui.boxes import is_harmless, is_known
from webui.chunks import bare_gif, bare_png, bare_webp

_SOI, _EOI = 0xD8, 0xD9
_KEPT_APPS = {0xE0: b"", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}  # JFIF, colours, how components were made
_COMMENT, _APPS = 0xFE, range(0xE0, 0xF0)
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # neither stuffed bytes nor restarts
_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
_BARE = {"PNG": bare_png, "WEBP": bare_webp, "GIF": bare_gif}
_MARKS = (  # of XMP, with and without its envelope, of EXIF, and of what camcorders write, also within H.264
    b"<x:xmpmeta", b"adobe:ns:meta", b"ns.adobe.com/", b"W5M0MpCehiHzreSzNTczkc9d", _EXIF, b"NonRealTimeMeta",
    b"\x08\x00\x20\x0c\x9a\x66MDPM",
    b"APETAGEX", b"LYRICSBEGIN",  # tags at the end of sounds
)  # fmt: skip
_ID3V1 = 128  # bytes at the end of a sound
_LOOKED_THROUGH, _PIECE = 2**30, 2**20  # bytes of a film; of larger ones nothing can be said in a request's time


class KeptBack(RebusError):
    """The file may hold where it was made, and is not given."""

    status = 403

    def __init__(self) -> None:
        super().__init__("its metadata may tell where it was taken: who serves it can allow that (serve.show_places)")


def placeless(path: Path, max_bytes: int) -> bytes | None:
    """The file's bytes without metadata; None when it may be given as it is. Raises KeptBack."""
    modality = modality_of(path.name)
    if modality in {Modality.VIDEO, Modality.AUDIO}:
        _check_film(path)
        return None
    data = read_file(path, max_bytes)
    try:
        return _bare(data)
    except UnidentifiedImageError:
        if modality == Modality.TEXT:
            _check_text(data)
            return None
        raise KeptBack from None  # HEIC and raw files among them: they nearly always do
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        raise KeptBack from None


def _bare(data: bytes) -> bytes:
    """A picture without metadata. Raises KeptBack, and what Pillow raises."""
    with Image.open(io.BytesIO(data), formats=FORMATS[:-1]) as image:
        upright = image.getexif().get(_ORIENTATION)
        if image.format == "JPEG":
            return without_metadata(data, upright)
        if image.format in _BARE:
            return _BARE[image.format](data, _turned(upright)[len(_EXIF) :])
    raise KeptBack  # TIFF, BMP and AVIF have parts of makers' own


def without_metadata(data: bytes, orientation: int | None) -> bytes:
    """A JPEG's first picture, with nothing else said of it than its colours and which side is up. Raises KeptBack."""
    out, at = bytearray(b"\xff\xd8"), 2
    if block := _turned(orientation):
        out += b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block
    if data[:2] != b"\xff\xd8":
        raise KeptBack
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            raise KeptBack  # its end is missing: what follows cannot be told
        out += data[at : found.start()]  # of a scan; between segments there is nothing
        marker, start = data[found.end() - 1], found.end()
        if marker == _EOI:
            return bytes(out + b"\xff\xd9")  # what follows, such as a film or a second picture, has metadata of its own
        if marker == _SOI or start + 2 > len(data):
            raise KeptBack
        at = start + int.from_bytes(data[start : start + 2], "big")
        segment = data[start:at]
        if _is_kept(marker, segment[2:]):
            out += bytes((0xFF, marker)) + segment


def is_kept_back(path: Path, max_bytes: int) -> bool:
    """Whether a file is not given, told by what `placeless` does."""
    try:
        placeless(path, max_bytes)
    except KeptBack:
        return True
    except RebusError:  # it is gone, or too large: who asks for it is told
        pass
    return False


def _turned(orientation: int | None) -> bytes:
    """A block of EXIF that says which side is up; b"" where that needs no saying."""
    if orientation not in range(2, 9):
        return b""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes()


def _is_kept(marker: int, content: bytes) -> bool:
    if marker in _APPS:
        return marker in _KEPT_APPS and content.startswith(_KEPT_APPS[marker])
    return marker != _COMMENT


def _check_text(data: bytes) -> None:
    """Raise KeptBack for something else under the name of a text."""
    try:
        decode_words(data)
    except MediaError:
        raise KeptBack from None


def _check_film(path: Path) -> None:
    """Raise KeptBack for a film or a sound that may say where it was made."""
    try:
        facts = path.stat()
    except OSError:
        raise KeptBack from None
    if _film_tells(path, facts.st_size, facts.st_mtime_ns):
        raise KeptBack


@functools.lru_cache(4096)  # players ask for one film in many parts
def _film_tells(path: Path, size: int, _mtime_ns: int) -> bool:
    """Whether it says something, or cannot be followed: its tags, parts, streams, covers, and all of its bytes."""
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
            said = [container.metadata, *(stream.metadata for stream in container.streams if stream not in covers)]
            told = not all(is_harmless(name, words) for known in said for name, words in known.items())
            told = told or not is_known(path, container.format.name) or bool(container.chapters())
            told = told or any(stream.type not in ("video", "audio") for stream in container.streams)
            told = told or any(_cover_tells(container, stream) for stream in covers)
        return told or size > _LOOKED_THROUGH or _is_marked(path)
    except (av.FFmpegError, OSError, ValueError, SyntaxError, Image.DecompressionBombError, KeptBack):
        return True


def _cover_tells(container: av.container.InputContainer, cover: av.VideoStream) -> bool:
    """Whether it holds more than a picture, or says more than what kind of picture it is (`comment`)."""
    said = {"title" if name.lower() == "comment" else name: words for name, words in cover.metadata.items()}
    picture = bytes(next(container.demux(cover), b""))  # which is none
    return not all(is_harmless(*tag) for tag in said.items()) or _bare(picture) != picture


def _is_marked(path: Path) -> bool:
    """Whether any of the marks stands in a file, which is read piece by piece."""
    overlap = max(map(len, _MARKS)) - 1
    with path.open("rb") as file:
        before = b""
        while piece := file.read(_PIECE):
            piece = before + piece
            if any(mark in piece for mark in _MARKS):
                return True
            before = piece[-overlap:]
        file.seek(max(0, file.tell() - _ID3V1))
        return file.read(3) == b"TAG"
