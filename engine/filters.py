"""Filters as people write them, such as `2023-06..2023-08` or `38.72,-9.14,5`, and what they mean."""

import calendar
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from engine.errors import InvalidInput
from engine.types import Where

MOST_KEYWORDS = 32
_DAY_S = 86_400.0
_EARTH_KM = 6371.0
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
_EXAMPLES = "such as 2023, 2023-06, 2023-06-01, 2023-06..2023-08 or 2023-06-01.."


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one search, as they were written. Blank ones say nothing."""

    path: str | None = None
    taken: str | None = None
    camera: str | None = None
    keyword: tuple[str, ...] = ()
    place: str | None = None
    near: str | None = None
    source: str | None = None
    root: str | None = None

    def where(self) -> Where:
        """What they mean. Raises InvalidInput for what cannot be read."""
        check_text(filter(None, (self.path, self.camera, self.place, self.source, self.root, *self.keyword)))
        if self.root and "/" in self.root:
            raise InvalidInput(f"root {self.root} is no name: give a library folder's own, without what it lies in")
        if len(self.keyword) > MOST_KEYWORDS:
            raise InvalidInput(f"{len(self.keyword)} keywords are too many: name at most {MOST_KEYWORDS}")
        start, end = parse_taken(self.taken) if _line(self.taken) else (None, None)
        keywords = dict.fromkeys(filter(None, map(keyword_form, self.keyword)))
        near = parse_near(self.near) if _line(self.near) else None
        path, camera, place = self.path or None, _line(self.camera), _line(self.place)
        return Where(path, start, end, camera, tuple(keywords), place, near, _line(self.source), self.root or None)


def parse_taken(text: str | None) -> tuple[float | None, float | None]:
    """The first second of a year, month, day or range, and the second after its last; None where it is open.

    Dates are those of the camera's clock where no zone is known, else of UTC. Raises InvalidInput.
    """
    first, dots, last = (text or "").strip().partition("..")
    if not first and not last:
        raise InvalidInput(f"taken needs a date, {_EXAMPLES}")
    start = _span(first)[0] if first else None
    end = _span(last if dots else first)[1] if last or not dots else None
    if start is not None and end is not None and start >= end:
        raise InvalidInput(f"taken {text} ends before it begins: write the earlier date first")
    return start, end


def parse_near(text: str | None) -> tuple[float, float, float]:
    """Latitude and longitude in degrees, and kilometres. Raises InvalidInput."""
    try:
        latitude, longitude, km = (float(part) for part in (text or "").lower().removesuffix("km").split(","))
    except ValueError:
        raise InvalidInput(f"near {text} cannot be read: write latitude,longitude,km such as 38.72,-9.14,5") from None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180 and 0 < km <= _EARTH_KM * math.pi):
        raise InvalidInput(
            f"near {text} is no place: latitude is -90 to 90, longitude -180 to 180, and the distance over 0 km"
        )
    return latitude, longitude, km


def keyword_form(word: str) -> str:
    """A keyword as it is stored and looked for: composed, in lower case, its spaces made single."""
    return " ".join(unicodedata.normalize("NFC", word).lower().split())


def like_pattern(pattern: str) -> str:
    """A glob as a LIKE pattern: `*` and `**` match any run of characters, `?` one."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    while "**" in escaped:
        escaped = escaped.replace("**", "*")
    return escaped.replace("*", "%").replace("?", "_")


def check_text(words: Iterable[str]) -> None:
    """Raise InvalidInput for what no database takes as text."""
    for text in words:
        if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
            raise InvalidInput(f"{text!r} is not valid text: it holds a NUL or half of a character")


def latitudes(near: tuple[float, float, float]) -> tuple[float, float]:
    """The least and the greatest latitude within the distance: what an index or a quick comparison can use."""
    reach = math.degrees(near[2] / _EARTH_KM)
    return near[0] - reach, near[0] + reach


def is_near(near: tuple[float, float, float], latitude: float, longitude: float) -> bool:
    """Whether a place lies within the distance, along a great circle."""
    north, other = math.radians(near[0]), math.radians(latitude)
    across = math.sin(math.radians(longitude - near[1]) / 2) ** 2
    chord = math.sin((other - north) / 2) ** 2 + math.cos(north) * math.cos(other) * across
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(chord))) <= near[2]


def _line(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None


def _span(date: str) -> tuple[float, float]:
    """The first second of a year, month or day, and the one after its last."""
    found = _DATE.fullmatch(date)
    if not found:
        raise InvalidInput(f"taken {date} cannot be read as a date: write it {_EXAMPLES}")
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        start = datetime(year or 0, month or 1, day or 1, tzinfo=UTC).timestamp()
    except ValueError:
        raise InvalidInput(f"taken {date} is no day of the calendar") from None
    days = 1 if day else calendar.monthrange(year or 0, month)[1] if month else 365 + calendar.isleap(year or 0)
    return start, start + days * _DAY_S
