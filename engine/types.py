"""The nouns every package shares: modalities, queries, hits and array aliases."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from engine.errors import EncoderUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    F16 = NDArray[np.float16]
    F32 = NDArray[np.float32]
    I32 = NDArray[np.int32]
    I64 = NDArray[np.int64]
    U8 = NDArray[np.uint8]
    U64 = NDArray[np.uint64]
    Bool = NDArray[np.bool_]
    Array = NDArray[Any]
else:
    _ELEMENTS = {
        "F16": "float16", "F32": "float32", "I32": "int32", "I64": "int64", "U8": "uint8",
        "U64": "uint64", "Bool": "bool_",
    }  # fmt: skip

    def __getattr__(name: str) -> Any:
        """The array aliases. Start-up time: numpy is imported for those who ask for one, and not for `rebus status`."""
        if name not in _ELEMENTS and name != "Array":
            raise AttributeError(f"module {__name__} has no attribute {name}")
        import numpy as np
        from numpy.typing import NDArray

        return NDArray[getattr(np, _ELEMENTS[name]) if name in _ELEMENTS else Any]


class Modality(StrEnum):
    """What an item is. A caption is an item of modality text, related to its picture."""

    IMAGE = "image"
    TEXT = "text"
    AUDIO = "audio"
    VIDEO = "video"


class Mode(StrEnum):
    """What a query's words are compared with: vectors, words as they are written, or both, fused."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a query: exactly one of words, a picture, an indexed item or a vector of the joint space.

    `weight` multiplies the term's unit embedding; a negative weight pushes away from it. vector: of any length but 0.
    region: the part of the item's picture that is meant: left, top, width and height as shares of it.
    """

    text: str | None = None
    image: "Image | None" = None
    item: int | None = None
    weight: float = 1.0
    vector: tuple[float, ...] | None = None
    region: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """Which items may be hits. What a file says of itself holds for its frames and captions too.

    path: a glob over paths relative to their root (`holiday/**`). taken_from, taken_to: seconds since the epoch, the
    second one excluded. camera, place: a part of the name, in any case. keywords: all of them, as
    `filters.keyword_form` writes them. near: latitude and longitude in degrees, and kilometres around that point.
    source: a glob over what words were read from (`exif`, `ocr`, `*.jsonl`): the words themselves, or what has some.
    root: the name of a media folder, without what it lies in.
    """

    path: str | None = None
    taken_from: float | None = None
    taken_to: float | None = None
    camera: str | None = None
    keywords: tuple[str, ...] = ()
    place: str | None = None
    near: tuple[float, float, float] | None = None
    source: str | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What to search for.

    modality: what the hits are. where: which of them are looked at. limit, offset: the page of hits wanted.
    exact: scan every vector instead of the cascade.
    fold: show one picture of each group of near-duplicates; groups of the items among the terms are shown whole.
    mode: None leaves it to `search.mode`. marks: let what was marked good or bad for this query count. least: leave out
    hits of a lower confidence. explain: say of each hit what let it in. without: items that are no hits.
    """

    terms: tuple[Term, ...]
    modality: Modality = Modality.IMAGE
    where: Where = Where()
    limit: int = 24
    offset: int = 0
    exact: bool = False
    fold: bool = True
    mode: Mode | None = None
    marks: bool = True
    least: float = 0.0
    explain: bool = False
    without: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What one term gave to a hit. share: its part of the score, to which the shares of all add up.

    cosine: of the term and the hit. term: words, `item 12`, `a picture`, `a vector`, or `good marks`.
    """

    term: str
    weight: float
    cosine: float
    share: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit is there. stages: what let it in: codes or exact, and then refine; text.

    vector_rank, text_rank: from 1 on, in the two lists; None in a list that does not hold it. text_score: BM25.
    text_of: what holds the words: caption, path or keywords. fused: the sum of reciprocal ranks.
    """

    stages: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    vector_rank: int | None = None
    text_rank: int | None = None
    text_score: float | None = None
    text_of: str | None = None
    fused: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. score: cosine in the joint space, in −1..1, higher is better; None for what has no vector.

    order: what hits are ordered by, higher first: the score, or the sum of reciprocal ranks of vectors and text, or
    BM25 of text alone. confidence: see engine.confidence; None where nothing is calibrated.

    path: relative to `root`, its media folder; for a text hit, the path of the picture it describes.
    item: the item to show, which is `id` itself unless the hit is a caption; None for words that stand alone.
    position: page or frame number of the file, or milliseconds into a film; None for a whole file.
    alike: how many near-duplicates are folded under this hit: the others of its group, wherever they lie.
    thumb: see ItemView.thumb.
    """

    id: int
    score: float | None
    modality: Modality
    root: str
    path: str
    caption: str | None
    item: int | None
    width: int | None = None
    height: int | None = None
    position: int | None = None
    alike: int = 0
    thumb: str | None = None
    order: float = 0.0
    confidence: float | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """Hits, best first; milliseconds by stage; the index version that answered (0: none); whether more follow.

    confidence: the probability that what was asked for is there at all; None where nothing is calibrated. mode: what
    answered: a query of more than words is asked by vectors alone. marks: how many of the query counted.
    depths: how deep each stage looked, as `LiveIndex.explained` says it. notice: the error for which a hybrid query was
    answered by text alone. state: of the ranking, among those of one searcher: while it stays the same for a query, so
    does its ranking by vectors.
    """

    hits: tuple[Hit, ...]
    index_version: int
    more: bool = False
    took_ms: dict[str, float] = field(default_factory=dict)
    depths: dict[str, Any] = field(default_factory=dict)
    confidence: float | None = None
    mode: Mode = Mode.VECTOR
    marks: int = 0
    notice: EncoderUnavailable | None = None
    state: str = ""
