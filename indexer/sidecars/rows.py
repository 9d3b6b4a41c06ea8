"""What an object with keys says of a picture: a JSON sidecar, a line or a row of a table.

Keys are known in any case. Captions stand under a language's code, or under captions, caption, text, title,
description or alt in the first language of captions.languages; each is a string, a list of strings, or an object of
those by language. Keywords and facts are read from what exiftool, Google Takeout and others call them.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

from engine.config import CaptionSettings
from engine.media import Facts, modality_of
from engine.media.values import camera_name, degrees, moment, one_line, place_name, within
from indexer.sidecars.said import NO_FACTS, Captions, CaptionText

NAME_KEYS = ("image", "file_name", "filename", "file", "path", "image_path", "filepath", "image_name")
_PLAIN_KEYS = ("captions", "caption", "text", "title", "description", "alt")
_LENIENT_KEYS = ("title", "description", "alt")  # which other programs fill with things of their own
_KEYWORD_KEYS = ("keywords", "tags", "subject", "people")
_DATE_KEYS = ("taken_at", "datetimeoriginal", "date_taken", "createdate", "datetime", "date")
_PLACE_KEYS = ("place", "location", "sublocation", "city", "state", "province", "country")
_LATITUDE_KEYS, _LONGITUDE_KEYS = ("latitude", "lat", "gpslatitude"), ("longitude", "lon", "lng", "gpslongitude")
_CAMERA_KEYS = ("camera", "make", "model")
_OTHER_KEYS = ("split", "status", "category")
_FACT_KEYS = frozenset(
    ("title", "phototakentime", "geodata", "geodataexif", *_KEYWORD_KEYS, *_DATE_KEYS, *_PLACE_KEYS, *_LATITUDE_KEYS,
     *_LONGITUDE_KEYS, *_CAMERA_KEYS)
)  # fmt: skip
FIXED_KEYS = frozenset((*NAME_KEYS, *_PLAIN_KEYS, *_FACT_KEYS, *_OTHER_KEYS))
"""Every key that is read, in lower case, besides the languages' codes."""

_SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
SPLITS = frozenset(_SPLITS.values())
_MOST_KEYWORDS = 200  # of one picture
_FAR = 1e11  # seconds: no picture was or will be taken in another millennium


class Nameless(ValueError):
    """A row names no picture: it may be another program's."""


def lowered(row: Mapping[str, object]) -> dict[str, object]:
    """The row with its keys in lower case; the first of two that are then the same."""
    found: dict[str, object] = {}
    for key, value in row.items():
        found.setdefault(str(key).strip().lower(), value)
    return found


def why_no_json(error: Exception) -> str:
    """What to say of what could not be parsed: Python names a setting of its own for a number that is too long."""
    return "a number of too many digits" if "int_max_str_digits" in str(error) else str(error)


def name_in(row: Mapping[str, object], keys: tuple[str, ...] = NAME_KEYS) -> str:
    """The picture that a row (with keys in lower case) names. Raises Nameless when it names none."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    raise Nameless(f"names no picture under any of {', '.join(keys)}")


def said_in(row: Mapping[str, object], source: str, settings: CaptionSettings) -> Captions:
    """What a row (with keys in lower case) says. Raises ValueError for captions that are not words."""
    texts = []
    for key in _caption_keys(settings.languages):
        if row.get(key):
            try:
                texts += [CaptionText(*each, source) for each in _texts(key, row[key], settings)]
            except ValueError:
                if key not in _LENIENT_KEYS:
                    raise
    split = row.get("split")
    side = one_line(split, 16).lower() if isinstance(split, str) else ""
    facts = NO_FACTS if row.keys().isdisjoint(_FACT_KEYS) else _facts(row)
    return Captions(texts, _SPLITS.get(side, side) or None, facts, source if facts.keywords else "")


@lru_cache
def _caption_keys(languages: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(code.lower() for code in languages), *_PLAIN_KEYS)))


def clean(text: str, settings: CaptionSettings) -> str:
    """A caption as it is kept."""
    return one_line(text, settings.max_characters)


def language(code: str, settings: CaptionSettings) -> str | None:
    """The wanted language that a code such as en-GB or "" stands for; None when it is not wanted."""
    if not code:
        return settings.languages[0]
    whole = code.lower().replace("_", "-")
    wanted = {each.lower().replace("_", "-"): each for each in settings.languages}
    return wanted.get(whole) or wanted.get(whole.split("-")[0])


def title_of(value: object) -> str | None:
    """A title that is more than the name of a file, which is what many programs write there."""
    title = one_line(value) if isinstance(value, str) else ""
    return title if title and modality_of(title) is None else None


def _texts(key: str, value: object, settings: CaptionSettings) -> Iterator[tuple[str, str]]:
    """(caption, language) of one value."""
    lang = next((code for code in settings.languages if code.lower() == key), settings.languages[0])
    if isinstance(value, dict) and key in _PLAIN_KEYS:
        for code, words in value.items():
            wanted = language(str(code), settings)
            if wanted:
                yield from ((text, wanted) for text in _strings(key, words, settings))
    elif key != "title" or title_of(value):
        yield from ((text, lang) for text in _strings(key, value, settings))


def _strings(key: str, value: object, settings: CaptionSettings) -> Iterator[str]:
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise ValueError(f"{key!r} is neither a string nor a list of strings")
    yield from (line for text in values if (line := clean(text, settings)))


def _facts(row: Mapping[str, object]) -> Facts:
    latitude, longitude = _position(row)
    return Facts(
        taken_at=_taken_at(row),
        camera=camera_name(None, _string(row.get("camera")))
        or camera_name(_string(row.get("make")), _string(row.get("model"))),
        latitude=latitude,
        longitude=longitude,
        place=place_name(_string(row.get(key)) for key in _PLACE_KEYS),
        title=title_of(row.get("title")),
        keywords=tuple(dict.fromkeys(_keywords(row)))[:_MOST_KEYWORDS],
    )


def _keywords(row: Mapping[str, object]) -> Iterator[str]:
    for key in _KEYWORD_KEYS:
        value = row.get(key)
        if isinstance(value, str):
            value = value.replace(";", ",").split(",")
        for word in value if isinstance(value, list) else ():
            text = word.get("name") if isinstance(word, dict) else word
            if isinstance(text, str) and (line := one_line(text, 100)):
                yield line


def _taken_at(row: Mapping[str, object]) -> float | None:
    takeout = row.get("phototakentime")
    if isinstance(takeout, dict):
        return _seconds(takeout.get("timestamp"))
    for key in _DATE_KEYS:
        value = row.get(key)
        at = moment(value) if isinstance(value, str) else _seconds(value) if key == "taken_at" else None
        if at is not None:
            return at
    return None


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return seconds if abs(seconds) < _FAR else None


def _position(row: Mapping[str, object]) -> tuple[float | None, float | None]:
    for place in (row, row.get("geodata"), row.get("geodataexif")):
        if isinstance(place, dict):
            latitude = next((at for key in _LATITUDE_KEYS if (at := _angle(place.get(key), 90)) is not None), None)
            longitude = next((at for key in _LONGITUDE_KEYS if (at := _angle(place.get(key), 180)) is not None), None)
            # 0, 0 is what programs write that know no place
            if latitude is not None and longitude is not None and (latitude or longitude):
                return latitude, longitude
    return None, None


def _angle(value: object, most: float) -> float | None:
    return degrees(value, most) if isinstance(value, str) else within(value, most)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None
