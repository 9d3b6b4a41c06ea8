"""What a person types into the query box, as terms and filters.

Plain words are one text term. `-word` pushes away from a word, `like:123` adds an item (`like:2:123` twice as much,
`like:123@10,20,50,40` a part of its picture), `type:video` looks for films.
`path:holiday/**`, `taken:2023-06..2023-08`, `camera:leica`, `keyword:harbour`, `place:lisbon`, `near:38.72,-9.14,5`
`source:ocr` and `root:photos` filter; `min:0.3` leaves out what is less sure. Double quotes hold a phrase together and
make its words literal: `-"red car"`, `"-5 degrees"`, `camera:"Leica M6"`.
"""

import re
from dataclasses import dataclass

from engine.errors import InvalidInput
from engine.filters import Filters
from engine.likeness import NEGATIVE_WEIGHT, Likeness
from engine.types import Modality, Term

MAX_CHARACTERS = 2000

_FILTERS = {
    "path": "holiday/**",
    "taken": "2023-06",
    "camera": "leica",
    "keyword": "harbour",
    "place": "lisbon",
    "near": "38.72,-9.14,5",
    "source": "ocr",
    "root": "photos",
}
_EXAMPLES = {**_FILTERS, "type": "text", "min": "0.3"}
_TOKEN = re.compile(
    r"\s*(?P<minus>-(?=[^\s-]))?(?:(?P<key>like|" + "|".join(_EXAMPLES) + r"):)?"
    r'(?:"(?P<quoted>[^"]*)(?:"|$)|(?P<plain>\S*))',
    re.IGNORECASE,
)
_KINDS = {
    "image": Modality.IMAGE, "picture": Modality.IMAGE, "text": Modality.TEXT, "words": Modality.TEXT,
    "video": Modality.VIDEO, "film": Modality.VIDEO, "audio": Modality.AUDIO, "sound": Modality.AUDIO,
}  # fmt: skip
_SHARE = re.compile(r"0?[.,][0-9]{1,6}|[01](?:[.,]0{1,6})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BoxQuery:
    """The parsed box.

    likes: items, of negative weight when they push away. filters: as they were written. modality: what `type:` asks
    for. least: confidence.
    """

    words: str = ""
    without: tuple[str, ...] = ()
    likes: tuple[Likeness, ...] = ()
    filters: Filters = Filters()
    modality: Modality | None = None
    least: float = 0.0

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms to search with; empty when only filters were typed."""
        words = [Term(text=self.words)] if self.words else []
        without = [Term(text=words, weight=NEGATIVE_WEIGHT) for words in self.without]
        return (*words, *without, *(like.term for like in self.likes))


def parse(text: str) -> BoxQuery:
    """Read the box. Raises InvalidInput for a filter whose value is missing, impossible or given twice."""
    check_length("query", text)
    words: list[str] = []
    without: list[str] = []
    likes: list[Likeness] = []
    filters: dict[str, list[str]] = {}
    for match in _TOKEN.finditer(text):
        key = (match["key"] or "").lower()
        value = " ".join((match["quoted"] if match["quoted"] is not None else match["plain"]).split())
        if key == "like":
            like = Likeness.read(value)
            likes.append(like.negated if match["minus"] else like)
        elif key:
            _add_filter(filters, key, value, negated=bool(match["minus"]))
        elif value:
            (without if match["minus"] else words).append(value)
    modality = _modality(filters.pop("type")[0]) if "type" in filters else None
    least = _least(filters.pop("min")[0]) if "min" in filters else 0.0
    asked = _filters(filters)
    return BoxQuery(" ".join(words), tuple(without), tuple(likes), asked, modality, least)


def check_length(what: str, text: str) -> None:
    """Raise InvalidInput for what is longer than anybody types."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"the {what} has {len(text):,} characters, the limit is {MAX_CHARACTERS:,}: shorten it")


def quoted(text: str) -> str:
    """Words so that the box takes them literally: `parse(quoted(text)).words` is the text, its spaces made single."""
    plain = " ".join(text.replace('"', "'").split())[: MAX_CHARACTERS - 2].rstrip()
    try:
        literal = parse(plain) == BoxQuery(words=plain)
    except InvalidInput:
        literal = False
    return plain if literal else f'"{plain}"'


def filter_for(key: str, value: str) -> str:
    """A filter so that the box takes its value whole, whatever it holds."""
    return f'{key}:"{" ".join(value.replace(chr(34), " ").split())}"'


def _add_filter(filters: dict[str, list[str]], key: str, value: str, *, negated: bool) -> None:
    if negated:
        raise InvalidInput(f"-{key}: cannot be negated: leave out the minus, or quote it to search for the words")
    if not value:
        raise InvalidInput(f"{key}: needs a value right after the colon, such as {key}:{_EXAMPLES[key]}")
    if key in filters and key != "keyword":
        raise InvalidInput(f"{key}: is given twice: keep one")
    filters.setdefault(key, []).append(value)


def _filters(values: dict[str, list[str]]) -> Filters:
    """Raises InvalidInput for those that cannot be meant."""
    keywords = tuple(values.pop("keyword", ()))
    single = {key: found[0] for key, found in values.items()}
    if "path" in single:
        single["path"] = _glob(single["path"])
    asked = Filters(keyword=keywords, **single)
    asked.where()
    return asked


def _glob(value: str) -> str:
    """A pattern without wildcards matches anywhere in the path; a folder's name with its slash, all inside it."""
    if "*" in value or "?" in value:
        return value
    return f"{value}**" if value.endswith("/") else f"*{value}*"


def _modality(value: str) -> Modality:
    try:
        return _KINDS[value.lower()]
    except KeyError:
        raise InvalidInput(f"type:{value} is unknown: use type:image, type:text, type:video or type:audio") from None


def _least(value: str) -> float:
    if not _SHARE.fullmatch(value):
        raise InvalidInput(f"min:{value} is no confidence: use a number from 0 to 1, such as min:0.3")
    return float(value.replace(",", "."))


def narrowed(text: str, key: str, value: str | None) -> str:
    """The box with this filter in place of the one that it has of the kind; for None, without any."""
    found = ((match[0].strip(), (match["key"] or "").lower()) for match in _TOKEN.finditer(text))
    kept = [part for part, known in found if part and known != key]
    if value is not None:
        kept.append(filter_for(key, value) if re.search(r'[\s"]', value) else f"{key}:{value}")
    return " ".join(kept)
