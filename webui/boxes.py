"""Whether every part of a film or a sound is of a kind that is known to say nothing of where it was made.

Cameras put places and serial numbers into parts of their own, which no list of marks is ever complete for. So it is the
other way round: what is not on the lists below is not known to be clean. Of tags their names must be on a list as well,
and their words must hold nothing like a coordinate; what pictures and sound are made of is not read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

_Part = tuple[bytes, int, int]  # its name, and where its content begins and ends

_MOST_PARTS, _DEEPEST, _LONGEST_GAP = 200_000, 16, 2**20
_LARGEST_TABLE = 2**24  # bytes
_KILOBITS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KILOBITS_OF_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

# What tags may be called, in small letters, as FFmpeg and Matroska name them. Comments may say anything.
_HARMLESS = frozenset(
    "title artist album album_artist albumartist composer performer author publisher copyright genre date year track "
    "tracknumber tracktotal totaltracks disc discnumber disctotal totaldiscs compilation gapless_playback tempo "
    "creation_time encoder encoded_by language duration tlen bps number_of_frames number_of_bytes "
    "_statistics_writing_app _statistics_writing_date_utc _statistics_tags major_brand minor_version compatible_brands "
    "handler_name vendor_id rotate alpha_mode stereo_mode make model com.android.version com.android.capture.fps "
    "com.apple.quicktime.make com.apple.quicktime.model com.apple.quicktime.software "
    "com.apple.quicktime.creationdate".split()
)
_LANGUAGE = re.compile(r"-[a-z]{3}$")  # of the words, which may end the name
_COORDINATE = re.compile(
    r"[-+]\s?\d{1,3}[.,]\d"  # signed, as in ISO 6709
    r"|(?<![\d.:])\d{1,3}[.,]\d{4,}"  # neither a release nor a time of day
    r"|\d[.,]\d+\s*[NSEW]?\s*[,;/|]?\s+[-+]?\d{1,3}[.,]\d|\d\.\d+\s*[,;/|]\s*\d{1,3}\.\d"  # two of them
    r"|\d\s?[°º˚]\s?[\dNSEWO]|\d\s?deg\b|\d['′]\s?\d"  # degrees
    r"|\d\s?[NS]\b[\s,;/]*\d[\d.,:]*\s?[EWO]\b|\b[NS]\s?\d{1,2}[\s.:]+\d[\d.,: ]*[\s,;/]*[EWO]\s?\d"
    r"|gps|geo:|latitude|longitude|\$G[A-Z]{4}\b",  # by name, and as NMEA 0183 says it
    re.IGNORECASE,
)

# ISO/IEC 14496-12 and QuickTime: boxes of boxes, boxes of numbers or of pictures and sound, and tags, whose names
# FFmpeg tells.
_BOXES = frozenset(b"moov trak mdia minf dinf stbl edts udta mvex moof traf mfra meta ilst".split())
_PLAIN = frozenset(
    b"ftyp styp mdat pdin sidx wide mvhd iods tkhd elst mdhd hdlr vmhd smhd nmhd dref stsd stts stss stsc stsz stz2 "
    b"stco co64 ctts cslg sdtp sgpd sbgp subs saiz saio tapt tref trex mehd mfhd tfhd tfdt trun tfra mfro trkn disk "
    b"covr tmpo cpil pgap".split()
)
_WORDS = frozenset(
    b"aART titl auth cprt perf gnre yrrc albm name \xa9nam \xa9ART \xa9alb \xa9day \xa9too \xa9gen \xa9swr \xa9enc "
    b"\xa9wrt \xa9cpy \xa9mak \xa9mod".split()
)
_CHUNKS = frozenset(b"fmt data fact".split())  # of a WAV
_INFO = frozenset(b"INAM IART IPRD ICRD IGNR ITRK IPRT ISFT ILNG ICOP".split())  # and of its list of words
_FRAMES = frozenset(  # of ID3, but for covers: words, of which neither those of a name of one's own nor comments
    b"TIT2 TPE1 TPE2 TALB TRCK TPOS TCON TYER TDAT TIME TDRC TDRL TDEN TDTG TORY TDOR TSSE TENC TLEN TLAN TBPM TCOM "
    b"TCOP TPUB TCMP TSRC TKEY TMED TFLT TSOP TSOA TSOT TSO2".split()
)
# Matroska (RFC 9559): what holds others, what numbers, pictures and sound, and what words. The name of a tag is apart.
_SEGMENT, _CLUSTER, _TAG_NAME, _VOID = 0x18538067, 0x1F43B675, 0x45A3, 0xEC
_MASTERS = frozenset({_SEGMENT, 0x1549A966, 0x1254C367, 0x7373, 0x63C0, 0x67C8})
_ELEMENTS = frozenset({
    0x1A45DFA3, 0x114D9B74, 0x1C53BB6B, 0xBF, 0xE7, 0xA3, 0xA0, 0xAB, 0xA7, _CLUSTER, 0x2AD7B1, 0x4489, 0x4461, 0x73A4,
    0x68CA, 0x63C5, 0x63C9, 0x63C4, 0x63C6, 0x4484, 0x44B4,
})  # fmt: skip
_SAID = frozenset({0x1654AE6B, 0x4D80, 0x5741, 0x7BA9, 0x63CA, 0x447A, 0x447B, 0x4487})
_KNOWN_ELEMENTS = _ELEMENTS | _MASTERS | _SAID | {_TAG_NAME, _VOID}


class Unknown(Exception):
    """A part that is on no list, or no part at all."""


@dataclass(slots=True)
class _Parts:
    """A file that is gone through from part to part."""

    file: BinaryIO
    left: int = _MOST_PARTS
    deep: int = 0
    media: list[int] = field(default_factory=list)  # bytes of each `mdat`
    samples: int = 0  # bytes that tracks say are theirs

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

    def words(self, start: int, end: int) -> str:
        """What stands there, of whatever encoding. Raises Unknown when that is like a coordinate."""
        self.file.seek(start)
        if end - start > _LONGEST_GAP:
            raise Unknown
        said = self.read(end - start).replace(b"\0", b"").decode("utf-8", "replace")
        if _COORDINATE.search(said):
            raise Unknown
        return said


def is_harmless(name: str, words: str) -> bool:
    """Whether a tag is of those that say nothing of a place, and its words do not all the same."""
    return _LANGUAGE.sub("", name.lower()) in _HARMLESS and not _COORDINATE.search(words)


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


def _film(parts: _Parts, start: int, end: int) -> None:
    """Of an MP4 or a QuickTime film: its boxes, and one `mdat` of which every byte belongs to a track."""
    _boxes(parts, start, end)
    if len(parts.media) != 1 or parts.media[0] > parts.samples:
        raise Unknown


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
        elif name == b"mdat":
            parts.media.append(after - inner)
        elif name == b"stsz":
            parts.samples += _sample_bytes(parts)
        elif name in _WORDS:
            parts.words(inner, after)
        elif name not in _PLAIN:
            raise Unknown


def _sample_bytes(parts: _Parts) -> int:
    """How many bytes all samples of a track have: the one size of them, or the sum of their sizes."""
    one, count = (int.from_bytes(parts.read(8)[4:], "big"), int.from_bytes(parts.read(4), "big"))
    if one:
        return one * count
    table = parts.read(min(4 * count, _LARGEST_TABLE))
    return int(np.frombuffer(table, ">u4").sum(dtype=np.int64))


def _tags(parts: _Parts, start: int, end: int) -> None:
    for name, inner, after in parts.each(start, end, partial(_box_head, parts)):
        if name in _WORDS or name.startswith(b"\0\0"):  # the number of a key
            parts.words(inner, after)
        elif name not in _PLAIN:
            raise Unknown


def _keys(parts: _Parts, start: int, end: int) -> None:
    for _, inner, after in parts.each(start, end, partial(_box_head, parts)):
        if not is_harmless(parts.words(inner, after), ""):
            raise Unknown


def _chunks(parts: _Parts, start: int, end: int) -> None:
    def head(limit: int) -> _Part:
        name, size = parts.read(4), int.from_bytes(parts.read(4), "little")
        after = parts.file.tell() + size
        if name in (b"RIFF", b"LIST"):
            name = parts.read(4)
        return name.strip(), parts.file.tell(), min(after + size % 2, max(after, limit))

    for name, inner, after in parts.each(start, end, head):
        if name in (b"WAVE", b"INFO"):
            _chunks(parts, inner, after)
        elif name in _INFO:
            parts.words(inner, after)
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
        open_ended = size < 0 and name in (_SEGMENT, _CLUSTER)
        if size < 0 and not open_ended or name not in _KNOWN_ELEMENTS:
            raise Unknown
        if name == _VOID:
            parts.check_gap(inner, inner + size)
        elif name in _SAID:
            parts.words(inner, inner + size)
        elif name == _TAG_NAME and not is_harmless(parts.words(inner, inner + size), ""):
            raise Unknown
        return b"", inner, inner if open_ended or name in _MASTERS else inner + size

    for _ in parts.each(start, end, head):
        pass


def _frames(parts: _Parts, start: int, end: int) -> None:
    """Of an MP3: a tag of known frames at its beginning, and nothing but sound to its end."""

    def sound(limit: int) -> _Part:
        inner = parts.file.tell()
        return b"", inner, min(limit, inner + _sound_bytes(parts.read(4)))  # the last one may be cut off

    for _ in parts.each(_id3(parts, end), end, sound):
        pass


def _id3(parts: _Parts, end: int) -> int:
    """Where a tag ends; 0 without one."""
    head = parts.read(10)
    if head[:3] != b"ID3":
        return 0
    at, after = 10, 10 + _seven(head[6:])
    if head[5] or after > end:  # scattered with zeros, or with a head or an end of more
        raise Unknown
    while at + 10 <= after:
        parts.file.seek(at)
        frame = parts.read(10)
        if not any(frame):
            break
        inner, at = at + 10, at + 10 + (_seven(frame[4:8]) if head[3] == 4 else int.from_bytes(frame[4:8], "big"))
        if at > after or frame[9] or frame[:4] not in _FRAMES | {b"APIC"}:  # or packed
            raise Unknown
        if frame[:4] in _FRAMES:
            parts.words(inner, at)
    parts.check_gap(at, after)
    return after


def _sound_bytes(head: bytes) -> int:
    """The length of a frame of MPEG audio, layer III, by its head (ISO/IEC 11172-3, 13818-3)."""
    bits = int.from_bytes(head, "big")
    version, rate, speed = bits >> 19 & 3, bits >> 12 & 15, bits >> 10 & 3  # of 3, 2 and 0 (2.5)
    if bits >> 21 != 0x7FF or bits >> 17 & 3 != 1 or version == 1 or rate in (0, 15) or speed == 3:
        raise Unknown
    hertz = (44_100, 48_000, 32_000)[speed] >> (0, 1, 2)[(3, 2, 0).index(version)]
    kilobits = (_KILOBITS if version == 3 else _KILOBITS_OF_2)[rate - 1]
    return (144 if version == 3 else 72) * kilobits * 1000 // hertz + (bits >> 9 & 1)


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


def _pages(parts: _Parts, start: int, end: int) -> None:
    """Of an Ogg: nothing but pages (RFC 3533); FFmpeg tells their streams and comments."""

    def page(_: int) -> _Part:
        head = parts.read(27)
        if head[:4] != b"OggS":
            raise Unknown
        size = sum(parts.read(head[26]))
        return b"", parts.file.tell(), parts.file.tell() + size

    for _ in parts.each(start, end, page):
        pass


_FOLLOWED: Mapping[str, Callable[[_Parts, int, int], None]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _film, "matroska,webm": _elements, "wav": _chunks, "mp3": _frames,
    "flac": _blocks, "ogg": _pages,
}  # fmt: skip
