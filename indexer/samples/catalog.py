"""What the library can show: every subject with its colours, settings, counts and side details.

A picture's composition is (subject, colour, setting).  A setting is a time, a weather or a place; for a
pattern it is the colour of the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

SIDES = ("left", "center", "right")


@dataclass(frozen=True)
class Subject:
    """One kind of thing; WEIGHT is its share of the pictures of its family."""

    name: str
    family: str
    colours: tuple[str, ...]
    settings: tuple[str, ...]
    counts: tuple[int, ...] = (1,)
    details: tuple[str, ...] = ("",)
    sided: bool = True
    weight: int = 2


HERO = ("boat", "red", "sunset")
"""The composition people are told to try first: several pictures show it."""

_BRIGHT = ("red", "blue", "yellow", "green", "orange", "purple", "white", "pink")
_TIMES = ("day", "sunset", "dawn", "night")
_WEATHERS = ("rain", "snow", "fog", "storm", "rainbow")
_PASTURES = ("meadow", "snow", "beach", "night", "autumn")
_TABLES = ("wooden table", "blue tablecloth", "checked tablecloth", "window", "picnic")
_WALLS = ("yellow wall", "green wall", "pink wall", "blue wall", "dark room")
_AWAY = ("mountains", "city", "sea", "country")
_FEW = (1, 1, 1, 2, 3)
_UP_TO_FIVE = (1, 2, 3, 4, 5)
_SEA_DETAILS = ("", "birds", "lighthouse", "island")


def _land(name: str, *colours: str) -> Subject:
    details = ("", "birds", "cottage", "road")
    return Subject(name, "landscapes", colours, (*_TIMES, "fog"), details=details, sided=False)


def _vehicle(name: str, counts: tuple[int, ...] = (1,)) -> Subject:
    return Subject(name, "vehicles", _BRIGHT, ("day", "sunset", "night", "snow", "rain"), counts, _AWAY)


def _animal(name: str, *colours: str, counts: tuple[int, ...] = _FEW) -> Subject:
    return Subject(name, "animals", colours, _PASTURES, counts)


def _sign(word: str) -> Subject:
    return Subject(
        word,
        "signs",
        ("red", "blue", "yellow", "green", "white", "black"),
        ("day", "sunset", "night", "snow", "rain"),
        sided=False,
    )


def _pattern(name: str) -> Subject:
    """Inks and grounds share no colour, so that a pattern is never another one the other way round."""
    inks, grounds = ("red", "blue", "green", "orange", "purple"), ("white", "black", "yellow", "pink")
    return Subject(name, "patterns", inks, grounds, sided=False)


SUBJECTS: tuple[Subject, ...] = (
    _land("mountains", "blue", "purple", "green", "white"),
    _land("hills", "green", "yellow", "orange", "purple"),
    _land("desert", "orange", "yellow", "red", "pink"),
    _land("forest", "green", "orange", "yellow", "white"),
    _land("fields", "green", "yellow", "purple", "red"),
    Subject("house", "weather", _BRIGHT, _WEATHERS, details=("", "tree", "fence")),
    Subject(
        "barn",
        "weather",
        ("red", "blue", "white", "green", "brown"),
        _WEATHERS,
        details=("", "tree", "fence"),
    ),
    Subject("umbrella", "weather", _BRIGHT, _WEATHERS, details=("", "dog")),
    Subject("tent", "weather", ("red", "blue", "yellow", "green", "orange"), _WEATHERS, details=("", "tree")),
    Subject("boat", "seas", _BRIGHT, (*_TIMES, "fog", "storm"), _FEW, _SEA_DETAILS, weight=6),
    Subject("sailboat", "seas", _BRIGHT, (*_TIMES, "fog", "storm"), _FEW, _SEA_DETAILS, weight=3),
    Subject(
        "ship",
        "seas",
        ("red", "blue", "green", "white", "black"),
        (*_TIMES, "fog", "storm"),
        details=_SEA_DETAILS[:2],
    ),
    Subject(
        "lighthouse",
        "seas",
        ("red", "blue", "white", "yellow", "black"),
        (*_TIMES, "fog", "storm"),
        details=("", "birds"),
    ),
    Subject("hut", "seas", ("pink", "blue", "yellow", "red"), _TIMES, details=("", "birds")),
    Subject(
        "houses",
        "towns",
        _BRIGHT,
        ("day", "sunset", "night", "snow", "rain"),
        (2, 3, 4, 5),
        sided=False,
        weight=3,
    ),
    Subject("tower", "towns", ("red", "blue", "white", "brown", "green"), (*_TIMES, "snow"), details=("", "birds")),
    Subject(
        "bridge",
        "towns",
        ("red", "white", "green", "black", "orange"),
        (*_TIMES, "fog"),
        details=("", "boat"),
        sided=False,
    ),
    Subject(
        "windmill",
        "towns",
        ("red", "white", "brown", "green", "blue"),
        (*_TIMES, "storm"),
        details=("", "tulips"),
    ),
    Subject(
        "skyline",
        "towns",
        ("blue", "purple", "pink", "orange", "brown"),
        (*_TIMES, "rain"),
        details=("", "birds"),
        sided=False,
    ),
    _vehicle("car", _FEW),
    _vehicle("bus"),
    _vehicle("truck"),
    _vehicle("train"),
    _vehicle("bicycle"),
    _vehicle("balloon", _UP_TO_FIVE),
    _vehicle("plane", _FEW),
    _animal("cat", "black", "white", "orange", "brown"),
    _animal("dog", "black", "white", "brown", "yellow"),
    _animal("bird", "red", "blue", "yellow", "green", "black", counts=_UP_TO_FIVE),
    Subject("fish", "animals", _BRIGHT, ("sea", "reef", "bowl", "deep"), _UP_TO_FIVE, weight=6),
    _animal("sheep", "white", "black", "brown", counts=_UP_TO_FIVE),
    _animal("cow", "brown", "black", "white"),
    _animal("horse", "brown", "black", "white"),
    _animal("rabbit", "white", "brown", "black", counts=_UP_TO_FIVE),
    Subject(
        "duck",
        "animals",
        ("yellow", "white", "brown", "green"),
        ("day", "sunset", "rain", "fog"),
        _UP_TO_FIVE,
    ),
    Subject(
        "tree",
        "plants",
        ("pink", "green", "orange", "yellow", "white"),
        (*_TIMES, "rain", "fog"),
        (1, 1, 2, 3),
    ),
    Subject(
        "tulip",
        "plants",
        ("red", "yellow", "pink", "purple", "orange", "white"),
        ("day", "sunset", "rain", "night"),
        _UP_TO_FIVE,
    ),
    Subject("sunflower", "plants", ("yellow", "orange"), ("day", "sunset", "rain", "storm"), _UP_TO_FIVE, weight=1),
    Subject("cactus", "plants", ("green", "blue"), ("day", "sunset", "night", "dawn"), (1, 2, 3), weight=1),
    Subject("vase", "plants", ("red", "yellow", "pink", "purple", "white", "blue"), _WALLS),
    Subject("apple", "food", ("red", "green", "yellow"), _TABLES, _UP_TO_FIVE),
    Subject("cake", "food", ("pink", "brown", "white", "yellow", "green"), _TABLES),
    Subject("pizza", "food", ("red", "blue", "white", "green"), _TABLES),
    Subject("bread", "food", ("red", "blue", "white", "green"), _TABLES),
    Subject("cup", "food", _BRIGHT, _TABLES, _UP_TO_FIVE),
    Subject("fruit bowl", "food", ("blue", "white", "red", "green", "purple"), _TABLES),
    Subject("ice cream", "food", ("pink", "white", "brown", "green", "yellow"), _TABLES, (1, 2, 3)),
    Subject("beach umbrella", "objects", _BRIGHT, (*_TIMES, "storm"), (1, 2, 3)),
    Subject("kite", "objects", _BRIGHT, (*_TIMES, "storm"), _UP_TO_FIVE),
    Subject("lamp", "objects", _BRIGHT, _WALLS),
    Subject("clock", "objects", _BRIGHT, _WALLS),
    Subject("chair", "objects", _BRIGHT, _WALLS, _FEW),
    Subject("book", "objects", ("red", "blue", "green", "orange", "purple", "brown"), _WALLS, _UP_TO_FIVE),
    Subject("key", "objects", ("red", "blue", "yellow", "black", "white"), _WALLS, _UP_TO_FIVE),
    *(_pattern(name) for name in ("stripes", "dots", "checks", "waves", "mosaic", "stars", "zigzags")),
    *(_sign(word) for word in ("cafe", "open", "bakery", "stop", "hotel", "books", "beach", "music")),
)

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(subject.family for subject in SUBJECTS))
BY_NAME: dict[str, Subject] = {subject.name: subject for subject in SUBJECTS}
