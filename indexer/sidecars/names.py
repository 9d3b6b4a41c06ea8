"""What the names of caption files say: which files speak of which."""

import re
import unicodedata

from engine.media import modality_of

_TABLES = frozenset(f"{name}{end}" for name in ("captions", "metadata") for end in (".jsonl", ".csv", ".parquet"))
OWN = (".txt", ".xmp", ".json")  # in the order in which they are believed
_SHARD = re.compile(r"\d+\.parquet", re.ASCII | re.IGNORECASE)
_PLACES = re.compile(r"metadata_\d+\.parquet", re.ASCII | re.IGNORECASE)
_COPY = re.compile(r"\(\d+\)$", re.ASCII)
_TAKEOUT = "supplemental-metadata"  # Google Takeout cuts it, and the whole name, to fit in 46 characters
_LONGEST_TAKEOUT = 46
_EDITED = "-edited."
PLACES_FOLDER = "metadata"


def stem(path: str) -> str:
    """The path without its ending: what a picture shares with its own caption files."""
    return path[: path.rfind(".")]


def bare(path: str) -> str:
    """The name of a file without its folders."""
    return path[path.rfind("/") + 1 :]


def is_table(name: str) -> bool:
    """Whether a file of this name holds captions of many pictures: of all below its folder."""
    return name.lower() in _TABLES


def is_shard_table(name: str) -> bool:
    """Whether a file of this name may speak of the folder or the tar that is called as it is: img2dataset's."""
    return _SHARD.fullmatch(name) is not None


def is_places_table(name: str) -> bool:
    """Whether a file of this name, in a folder called metadata, holds paths and captions: clip-retrieval's."""
    return _PLACES.fullmatch(name) is not None


def is_sidecar(name: str) -> bool:
    """Whether a file of this name may hold captions."""
    return is_own(name) or is_table(name) or is_shard_table(name) or is_places_table(name)


def is_own(name: str) -> bool:
    """Whether a file of this name may speak of the file beside it that is called as it is."""
    return name.lower().endswith(OWN)


def rank(name: str) -> tuple[int, str]:
    """Sorts the sidecars of one file: those believed first come first."""
    return next((number for number, end in enumerate(OWN) if name.lower().endswith(end)), len(OWN)), name


def describes(name: str) -> tuple[str, ...]:
    """The names, and names without their endings, of the files that an own sidecar of this name may speak of."""
    name = _composed(name)
    whole = stem(name)
    if not name.lower().endswith(".json"):
        return (whole,)
    if whole.endswith(".info"):  # yt-dlp
        return whole, whole.removesuffix(".info")
    copy = _COPY.search(whole)
    other = whole[: copy.start()] if copy else whole
    head, _, tail = other.rpartition(".")
    if head and tail and _TAKEOUT.startswith(tail):
        other = head
    if other == whole or modality_of(other) is None:
        return (whole,)
    return whole, f"{stem(other)}{copy[0]}{other[len(stem(other)) :]}" if copy else other


def _composed(name: str) -> str:
    """Letters with their marks in one form: some systems take them apart in what they copy."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def known_as(name: str) -> tuple[str, ...]:
    """What the sidecars of a file of this name may be called, without their endings."""
    name = _composed(name)
    names: tuple[str, ...] = name, stem(name)
    if len(name) > _LONGEST_TAKEOUT:
        names += (name[:_LONGEST_TAKEOUT],)
    return (*names, name.replace(_EDITED, ".")) if _EDITED in name else names


def scopes(table: str) -> tuple[str, ...]:
    """The folders, with a slash unless it is the root, whose files a table at this path speaks of."""
    name = bare(table)
    if is_table(name):
        return (table[: len(table) - len(name)],)
    if is_shard_table(name):
        return f"{stem(table)}/", f"{stem(table)}.tar/"
    return (table[: len(table) - len(f"{PLACES_FOLDER}/{name}")],)


def within(table: str, path: str) -> str | None:
    """A file's path relative to the folder that a table speaks of; None when it speaks of no file there."""
    return next((path[len(scope) :] for scope in scopes(table) if path.startswith(scope)), None)
