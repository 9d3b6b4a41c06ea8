"""Whether every part of a film or a sound is of a kind that is known to say nothing of where it was made.

Cameras put places and serial numbers into parts of their own, which no list of marks is ever complete for. So it is the
other way round: what is not on the lists below is not known to be clean. Contents are not read, but of what fills gaps.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

_Part = tuple[bytes, int, int]  # its name, and where its content begins and ends

_MOST_PARTS, _DEEPEST, _LONGEST_GAP = 200_000, 16, 2**20

# ISO/IEC 14496-12 and QuickTime: boxes of boxes, boxes of numbers or of pictures and sound, and tags, whose names and
# words are looked at elsewhere.
_BOXES = frozenset(b"moov trak mdia minf dinf stbl edts udta mvex moof traf mfra meta ilst".split())
_PLAIN = frozenset(
    b"ftyp styp mdat pdin sidx wide mvhd iods tkhd elst mdhd hdlr vmhd smhd nmhd dref stsd stts stss stsc stsz stz2 "
    b"stco co64 ctts cslg sdtp sgpd sbgp subs saiz saio tapt tref trex mehd mfhd tfhd tfdt trun tfra mfro trkn disk "
    b"covr tmpo cpil pgap desc aART titl auth cprt perf dscp gnre yrrc albm name \xa9nam \xa9ART \xa9alb \xa9day "
    b"\xa9too \xa9cmt \xa9gen \xa9swr \xa9enc \xa9wrt \xa9cpy \xa9des \xa9mak \xa9mod".split()
)
_KEYS = frozenset(b"com.android.version com.android.capture.fps com.apple.quicktime.make com.apple.quicktime.model "
                  b"com.apple.quicktime.software com.apple.quicktime.creationdate".split())  # fmt: skip
_CHUNKS = frozenset(b"INFO fmt data fact".split())  # of a WAV
# Matroska (RFC 9559): EBML's head, and what a segment and a cluster of unknown length hold.
_MASTERS = frozenset({0x18538067, 0x1F43B675})
_ELEMENTS = frozenset({
    0x1A45DFA3, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469, 0xBF,
    0xE7, 0xA3, 0xA0, 0xAB, 0xA7,
})  # fmt: skip
_VOID = 0xEC


class Unknown(Exception):
    """A part that is on no list, or no part at all."""


@dataclass(slots=True)
class _Parts:
    """A file that is gone through from part to part."""

    file: BinaryIO
    left: int = _MOST_PARTS
    deep: int = 0

    def read(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise Unknown
        return data

    def each(self, start: int, end: int, head: Callable[[int], _Part]) -> Iterator[_Part]:
        """The parts from one place to another, at the beginning of each of which `head` reads."""
        self.deep += 1
        while start < end:
            self.left -= 1
            self.file.seek(start)
            name, start, after = head(end)
            if not self.left or self.deep > _DEEPEST or not start <= after <= end:
                raise Unknown
            yield name, start, after
            start = after
        self.deep -= 1

    def check_gap(self, start: int, end: int) -> None:
        """Raise Unknown for what fills a gap with something."""
        self.file.seek(start)
        if end - start > _LONGEST_GAP or any(self.read(end - start)):
            raise Unknown


def is_known(path: Path, kind: str) -> bool:
    """Whether all parts of a file are. kind: the name of its container, as FFmpeg says it."""
    follow = _FOLLOWED.get(kind)
    if follow is None:
        return False
    try:
        with path.open("rb") as file:
            follow(_Parts(file), 0, path.stat().st_size)
    except Unknown:
        return False
    return True


def _box_head(parts: _Parts, limit: int) -> _Part:
    at = parts.file.tell()
    if limit - at < 8:  # the 32 bits that may end QuickTime's list of user data
        parts.check_gap(at, limit)
        return b"free", limit, limit
    size, name = int.from_bytes(parts.read(4), "big"), parts.read(4)
    if size == 1:
        size = int.from_bytes(parts.read(8), "big")
    return name, parts.file.tell(), at + size if size else limit


def _boxes(parts: _Parts, start: int, end: int) -> None:
    for name, inner, after in parts.each(start, end, partial(_box_head, parts)):
        if name in _BOXES:
            skipped = 0
            if name == b"meta" and after - inner >= 8:  # with a version in one of the two formats
                skipped = 0 if parts.read(8)[4:] == b"hdlr" else 4
            follow = _tags if name == b"ilst" else _boxes
            follow(parts, inner + skipped, after)
        elif name in (b"free", b"skip"):
            parts.check_gap(inner, after)
        elif name == b"keys":
            _keys(parts, inner + 8, after)
        elif name not in _PLAIN:
            raise Unknown


def _tags(parts: _Parts, start: int, end: int) -> None:
    for name, _, _ in parts.each(start, end, partial(_box_head, parts)):
        if name not in _PLAIN and not name.startswith(b"\0\0"):  # the number of a key
            raise Unknown


def _keys(parts: _Parts, start: int, end: int) -> None:
    for _, inner, after in parts.each(start, end, partial(_box_head, parts)):
        parts.file.seek(inner)
        if after - inner > _LONGEST_GAP or parts.read(after - inner) not in _KEYS:
            raise Unknown


def _chunks(parts: _Parts, start: int, end: int) -> None:
    def head(limit: int) -> _Part:
        name, size = parts.read(4), int.from_bytes(parts.read(4), "little")
        after = parts.file.tell() + size
        if name in (b"RIFF", b"LIST"):
            name = parts.read(4)
        return name.strip(), parts.file.tell(), min(after + size % 2, max(after, limit))

    for name, inner, after in parts.each(start, end, head):
        if name == b"WAVE":
            _chunks(parts, inner, after)
        elif name not in _CHUNKS:
            raise Unknown


def _elements(parts: _Parts, start: int, end: int) -> None:
    def number(*, marked: bool) -> int:
        first = parts.read(1)[0]
        length = 9 - first.bit_length()
        if length > 8:
            raise Unknown
        rest = parts.read(length - 1)
        value = int.from_bytes(bytes((first if marked else first & (0x7F >> (length - 1)),)) + rest, "big")
        return -1 if not marked and value == 2 ** (7 * length) - 1 else value  # of no known length

    def head(limit: int) -> _Part:
        name, size = number(marked=True), number(marked=False)
        inner = parts.file.tell()
        known = name in _ELEMENTS or name in _MASTERS or name == _VOID
        if not known or (size < 0 and name not in _MASTERS):
            raise Unknown
        if name == _VOID:
            parts.check_gap(inner, inner + size)
        descends = size < 0 or name == 0x18538067
        return b"", inner, inner if descends else inner + size

    for _ in parts.each(start, end, head):
        pass


def _frames(parts: _Parts, start: int, end: int) -> None:
    """Of an MP3: tags of words, of comments and of a cover; FFmpeg tells these."""
    head = parts.read(10)
    if head[:3] != b"ID3":
        return
    size = _seven(head[6:])
    if head[5] & 0xC0 or 10 + size > end:  # scattered with zeros, or with a head of more
        raise Unknown
    at = 10
    while at + 10 <= 10 + size:
        parts.file.seek(at)
        frame = parts.read(10)
        if not any(frame):
            parts.check_gap(at, 10 + size)
            return
        if frame[:1] != b"T" and frame[:4] not in (b"APIC", b"COMM", b"USLT"):
            raise Unknown
        at += 10 + (_seven(frame[4:8]) if head[3] == 4 else int.from_bytes(frame[4:8], "big"))


def _seven(data: bytes) -> int:
    return sum(byte << shift for byte, shift in zip(data, (21, 14, 7, 0), strict=True))


def _blocks(parts: _Parts, start: int, end: int) -> None:
    """Of a FLAC: numbers, gaps, points to seek, comments and covers; FFmpeg tells the last two."""
    if parts.read(4) != b"fLaC":
        raise Unknown
    last = False
    while not last:
        head = parts.read(4)
        last, kind, size = head[0] >= 0x80, head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if kind == 1:
            parts.check_gap(parts.file.tell(), parts.file.tell() + size)
        elif kind in (0, 3, 4, 6):
            parts.file.seek(size, 1)
        else:
            raise Unknown


def _comments(parts: _Parts, start: int, end: int) -> None:
    """Of an Ogg: it has no parts but its streams, and comments, which FFmpeg tells."""


_FOLLOWED: Mapping[str, Callable[[_Parts, int, int], None]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _boxes, "matroska,webm": _elements, "wav": _chunks, "mp3": _frames,
    "flac": _blocks, "ogg": _comments,
}  # fmt: skip
