"""Values as metadata holds them, made clean: lines of text, moments, coordinates, the names of cameras and places."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime

_LONGEST = 1000  # characters of one value
_DATE = re.compile(
    r"(\d{4})(?:[-:/](\d{1,2})(?:[-:/](\d{1,2})"
    r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d{1,9})?))?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_COMPANY = re.compile(
    r"[\s,]+(?:corporation|corp|company|co|ltd|inc|gmbh|ag|imaging|optical|electronics|camera)\.?$", re.I
)
_ANGLE = re.compile(
    r"([+-]?\d{1,3}(?:\.\d+)?)(?:(?:[,\s°]|deg)+(\d{1,2}(?:\.\d+)?))?(?:[,\s'′]+(\d{1,2}(?:\.\d+)?))?[\"″\s]*([NSEW])?",
    re.ASCII | re.IGNORECASE,
)


def one_line(text: str, longest: int = _LONGEST) -> str:
    """The text on one line, without what a database or a terminal would choke on, cut at `longest` characters."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())[:longest].rstrip()


def moment(text: str) -> float | None:
    """Seconds since the epoch of a date as ISO 8601, XMP or EXIF write it, to the part that is known; None for others.

    A date without a zone is taken as it stands, as if its clock had shown UTC.
    """
    found = _DATE.fullmatch(text.strip()[:64])
    if not found:
        return None
    year, month, day, hour, minute, second, zone = found.groups()
    second, _, fraction = (second or "0").replace(",", ".").partition(".")
    offset = 0
    if zone and zone[0] in "+-":
        offset = int(zone[0] + "1") * (int(zone[1:3]) * 60 + int(zone[-2:])) * 60
    try:
        date = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        clock = date.replace(hour=int(hour or 0), minute=int(minute or 0), second=int(second))
    except ValueError:  # as cameras write whose clock was never set: 0000:00:00
        return None
    return clock.timestamp() - offset + float(f"0.{fraction or 0}")


def degrees(text: str, most: float) -> float | None:
    """Degrees of a latitude (most 90) or longitude (most 180) as XMP writes them: "54,59.38N", "54,59,22N", "-3.5"."""
    found = _ANGLE.fullmatch(text.strip()[:64])
    if not found:
        return None
    whole, minutes, seconds, side = found.groups()
    angle = abs(float(whole)) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
    return within(-angle if whole.startswith("-") or (side or "N") in "SWsw" else angle, most)


def within(angle: object, most: float) -> float | None:
    """The angle, when it is a number from -most to most."""
    if isinstance(angle, bool) or not isinstance(angle, int | float) or not math.isfinite(angle) or abs(angle) > most:
        return None
    return float(angle)


def camera_name(make: str | None, model: str | None) -> str | None:
    """Maker and model, the maker once, as most models repeat it, and not as a company."""
    make, model = one_line(make or ""), one_line(model or "")
    if model and model.lower().split(" ")[0] in make.lower().split(" "):
        make = ""
    while (shorter := _COMPANY.sub("", make)) != make:
        make = shorter
    return f"{make} {model}".strip() or None


def place_name(parts: Iterable[str | None]) -> str | None:
    """Parts of a place, the smallest first, as words; without repeats."""
    clean = dict.fromkeys(line for part in parts if part and (line := one_line(part)))
    return ", ".join(clean) or None
