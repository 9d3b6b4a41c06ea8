"""What a picture says of itself, in XMP, IPTC and EXIF; where they differ, the first of them that speaks is believed.

Damaged metadata is left out: it is never a failure of the picture. Serial numbers, the names of owners and the notes
of makers are never read.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image, IptcImagePlugin
from PIL.ImageFile import ImageFile

from engine.filters import keyword_form
from engine.media.contract import Facts, Passage
from engine.media.spelling import comment_text, is_default, legacy_text, wide_text
from engine.media.values import camera_name, moment, one_line, place_name, within
from engine.media.xmp import XmpWords, parse_xmp

MOST_CHARACTERS = 2000  # of one passage
MOST_PASSAGES = 16
MOST_KEYWORDS = 100
_LONGEST_NAME = 200  # characters of a title, a keyword, a camera or a place
_EARLIEST = -30_610_224_000.0  # the year 1000: what is before is a clock that was never set
_DAY_S = 86_400.0

_MAIN = ExifTags.Base
_SUBJECT, _TITLE, _COMMENT, _KEYWORDS = _MAIN.XPSubject, _MAIN.XPTitle, _MAIN.XPComment, _MAIN.XPKeywords
_GPS = ExifTags.GPS
_XMP = 700  # the tag of a TIFF

Said = tuple[Facts, Sequence[XmpWords]]


def facts_of(image: Image.Image) -> tuple[Facts, tuple[Passage, ...]]:
    """Facts, and titles and descriptions with their source (xmp, iptc or exif), of a picture as Pillow opened it."""
    return _merged(
        xmp=lambda: _xmp(image.info.get("xmp")), iptc=lambda: _iptc(image), exif=lambda: _exif(image.getexif())
    )


def facts_of_raw(file: BinaryIO) -> tuple[Facts, tuple[Passage, ...]]:
    """The same of a camera's raw file, most of which are TIFFs at heart; nothing of others."""
    tags = Image.Exif()
    with suppress(Exception):  # what was read before the damage counts
        file.seek(0)
        tags.load_from_fp(file)
    return _merged(xmp=lambda: _xmp(tags.get(_XMP)), exif=lambda: _exif(tags))


def _merged(**sources: Callable[[], Said]) -> tuple[Facts, tuple[Passage, ...]]:
    facts, passages = Facts(), dict[str, Passage]()
    for source, read in sources.items():
        try:
            more, texts = read()
        except Exception:  # parsers raise nearly anything on damaged data; the picture itself may be whole
            continue
        if more == Facts() and not any(words.text for words in texts):
            continue
        facts = _joined(facts, _clean(more))
        for words in texts:
            if not is_default(text := one_line(words.text, MOST_CHARACTERS)):
                passages.setdefault(text.casefold(), Passage(text, source, lang=words.lang))
    return facts, tuple(passages.values())[:MOST_PASSAGES]


def _xmp(packet: Any) -> Said:
    if not packet:
        return Facts(), ()
    found = parse_xmp(packet.encode() if isinstance(packet, str) else bytes(packet))
    return found.facts, found.words


def _iptc(image: Image.Image) -> Said:
    found = IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile) else None
    if not found:
        return Facts(), ()

    def values(dataset: int) -> Iterator[str]:
        value = found.get((2, dataset))
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, bytes) and (line := one_line(legacy_text(each))):
                yield line

    name, headline, caption = (next(values(dataset), "") for dataset in (5, 105, 120))
    date, time = next(values(55), ""), next(values(60), "")
    day = "-".join((date[:4], date[4:6], date[6:8]))
    clock = f"T{time[:2]}:{time[2:4]}:{time[4:6]}{time[6:]}"
    facts = Facts(
        taken_at=_first(moment(day + clock), moment(day)),
        place=place_name(next(values(dataset), None) for dataset in (92, 90, 95, 101)),
        title=next((text for text in (name, headline) if not is_default(text)), None),
        keywords=tuple(values(25)),
    )
    return facts, _plain(name, headline, caption)


def _exif(exif: Image.Exif) -> Said:
    if not len(exif):
        return Facts(), ()
    main = _read(exif, (_MAIN.Make, _MAIN.Model, _MAIN.ImageDescription, _TITLE, _COMMENT, _KEYWORDS, _SUBJECT))
    detail_tags = (_MAIN.DateTimeOriginal, _MAIN.OffsetTimeOriginal, _MAIN.DateTimeDigitized)
    detail = _read(_directory(exif, ExifTags.IFD.Exif), (*detail_tags, _MAIN.OffsetTimeDigitized, _MAIN.UserComment))
    latitude, longitude = _place(_directory(exif, ExifTags.IFD.GPSInfo))
    title = wide_text(main.get(_TITLE))
    facts = Facts(
        taken_at=_first(
            _taken(detail.get(_MAIN.DateTimeOriginal), detail.get(_MAIN.OffsetTimeOriginal)),
            _taken(detail.get(_MAIN.DateTimeDigitized), detail.get(_MAIN.OffsetTimeDigitized)),
        ),
        camera=camera_name(legacy_text(main.get(_MAIN.Make)), legacy_text(main.get(_MAIN.Model))),
        latitude=latitude,
        longitude=longitude,
        title=None if is_default(one_line(title)) else title,
        keywords=tuple(wide_text(main.get(_KEYWORDS)).split(";")),
    )
    described = legacy_text(main.get(_MAIN.ImageDescription))
    comment = comment_text(detail.get(_MAIN.UserComment), big_endian=exif.endian == ">")
    return facts, _plain(title, described, wide_text(main.get(_SUBJECT)), wide_text(main.get(_COMMENT)), comment)


def _plain(*texts: str) -> list[XmpWords]:
    """Words of no language that is told."""
    return [XmpWords(text) for text in texts]


def _directory(exif: Image.Exif, which: int) -> Mapping[int, Any]:
    try:
        return exif.get_ifd(which)
    except Exception:  # one damaged directory says nothing of the others
        return {}


def _read(tags: Mapping[int, Any], wanted: Iterable[int]) -> dict[int, Any]:
    """The wanted tags that are there and whole."""
    found = {}
    for tag in wanted:
        try:
            found[tag] = tags.get(tag)
        except Exception:  # values are decoded when they are asked for
            continue
    return found


def _taken(date: object, zone: object) -> float | None:
    day = legacy_text(date).strip(" \0")
    return _first(moment(f"{day} {legacy_text(zone).strip()}"), moment(day))


def _place(tags: Mapping[int, Any]) -> tuple[float | None, float | None]:
    """Degrees north and east; None for both where either is missing or impossible."""
    found = _read(tags, (_GPS.GPSLatitude, _GPS.GPSLatitudeRef, _GPS.GPSLongitude, _GPS.GPSLongitudeRef))
    north = _angle(found.get(_GPS.GPSLatitude), legacy_text(found.get(_GPS.GPSLatitudeRef)), "NS", 90)
    east = _angle(found.get(_GPS.GPSLongitude), legacy_text(found.get(_GPS.GPSLongitudeRef)), "EW", 180)
    if north is None or east is None or (north == 0 and east == 0):  # zeroes are what a receiver without a fix writes
        return None, None
    return north, east


def _angle(value: Any, side: str, sides: str, most: float) -> float | None:
    letter = side.strip(" \0")[:1].upper()
    try:
        parts = [float(part) for part in (value if isinstance(value, tuple) else (value,))]
    except (ArithmeticError, TypeError, ValueError):
        return None
    whole = len(parts) <= 3 and all(math.isfinite(part) and part >= 0 for part in parts)
    if not letter or letter not in sides or not whole or any(part > 60 for part in parts[1:]):
        return None
    angle = within(sum(part / 60**place for place, part in enumerate(parts)), most)
    return -angle if angle and letter == sides[1] else angle


def _clean(facts: Facts) -> Facts:
    def line(text: str | None) -> str | None:
        return one_line(text or "", _LONGEST_NAME) or None

    words = dict.fromkeys(
        word for text in facts.keywords[:1000] if (word := keyword_form(one_line(text, _LONGEST_NAME)))
    )
    taken = facts.taken_at if facts.taken_at is None or facts.taken_at >= _EARLIEST else None
    return replace(
        facts, taken_at=taken, camera=line(facts.camera), place=line(facts.place), title=line(facts.title),
        keywords=tuple(words),
    )  # fmt: skip


def _joined(facts: Facts, more: Facts) -> Facts:
    """What is known already, and what another source adds."""
    known = {field.name: getattr(facts, field.name) for field in fields(Facts)}
    added = {name: getattr(more, name) for name, value in known.items() if value is None}
    if facts.latitude is not None:
        added.pop("longitude", None)
    if facts.taken_at is not None and more.taken_at is not None and facts.taken_at % _DAY_S == 0:
        later = more.taken_at - facts.taken_at
        added["taken_at"] = more.taken_at if 0 <= later < _DAY_S else facts.taken_at  # a day, and its hour
    keywords = tuple(dict.fromkeys((*facts.keywords, *more.keywords)))[:MOST_KEYWORDS]
    return replace(facts, **added, keywords=keywords)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
