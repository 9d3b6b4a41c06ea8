"""The shapes of /api/v1: what it accepts and what it answers. Unknown keys are errors."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from PIL.Image import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from engine.catalog import Caption, FactsRow
from engine.confidence import band
from engine.errors import InvalidInput
from engine.filters import Filters
from engine.shown import ItemView
from engine.types import Explanation, Hit, Modality, Mode, Query, Results, Term, Where
from engine.words import place_in
from webui.problems import explain_error
from webui.query_box import parse

MAX_LIMIT = 1000
MAX_TERMS = 32
MAX_PICTURES = 4
MAX_WIDTH = 16_384
LARGEST_ID = 2**63 - 1  # what a catalog's integer column holds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # fromtimestamp knows no earlier times on some systems

ItemId = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Share = Annotated[float, Field(ge=0, le=1)]
Words = Annotated[str, Field(max_length=2000)]
Decoder = Callable[[bytes], Image]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Shape(BaseModel):
    """Rules of every shape."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Encodable(Shape):
    """Exactly one of text, item, image (base64) or vector (of the joint space, as `encode` answers it).

    region: which part of the item's picture is meant: left, top, width and height as shares of it, each from 0 to 1.
    """

    text: Words | None = None
    item: ItemId | None = None
    image: str | None = None
    vector: list[float] | None = Field(default=None, min_length=1, max_length=MAX_WIDTH)
    region: list[Share] | None = Field(default=None, min_length=4, max_length=4)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(part is not None for part in (self.text, self.item, self.image, self.vector)) != 1:
            raise ValueError("a term is exactly one of text, item, image or vector")
        if self.region is not None and self.item is None:
            raise ValueError("a region is a part of an item's picture: name the item beside it")
        return self

    def to_term(self, decode: Decoder) -> Term:
        """The engine's term. Raises InvalidInput for a picture that cannot be decoded."""
        image = None if self.image is None else decode(from_base64(self.image))
        vector = None if self.vector is None else tuple(self.vector)
        region = None if self.region is None else (self.region[0], self.region[1], self.region[2], self.region[3])
        return Term(self.text, image, self.item, vector=vector, region=region)


class TermIn(Encodable):
    """One part of a query. A negative weight pushes away."""

    weight: float = Field(default=1.0, ge=-1000, le=1000)

    def to_term(self, decode: Decoder) -> Term:
        return replace(super().to_term(decode), weight=self.weight)


class Narrowed(Shape):
    """Which items are looked at, and what kind they are.

    path: a glob over relative paths, such as holiday/**. taken: a year, month, day or range, such as 2023-06..2023-08.
    camera, place: a part of the name. keyword: one, or several that all hold. near: latitude,longitude,km. source: what
    words were read from, such as exif, ocr or *.jsonl. root: the name of one of the library's folders.

    No encoder takes sounds yet: audio is found by its words alone.
    """

    modality: Literal["image", "text", "video", "audio"] = "image"
    path: Words | None = None
    taken: Words | None = None
    camera: Words | None = None
    keyword: Annotated[list[Words], BeforeValidator(_listed)] = []
    place: Words | None = None
    near: Words | None = None
    source: Words | None = None
    root: Words | None = None

    def where(self) -> Where:
        """What the filters mean. Raises InvalidInput for those that cannot be read."""
        given = {name: getattr(self, name) for name in Filters.__dataclass_fields__}
        return Filters(**given | {"keyword": tuple(self.keyword)}).where()


class Page(Narrowed):
    """What every search may say about its hits.

    cursor: the `next` of the page before, of the same search; offset: hits to skip, without one. fold: show one picture
    of each group of near-duplicates. exact: compare with every vector. mode: what words are compared with, vectors,
    text as it is written, or both; left out, as search.mode says. marks: let what was marked for the same query count.
    min: leave out hits of a lower confidence. explain: say of each hit why it is there.
    """

    limit: int | None = Field(default=None, ge=1, le=MAX_LIMIT)
    offset: int = Field(default=0, ge=0)
    cursor: Words | None = None
    exact: bool = False
    fold: bool = True
    mode: Literal["hybrid", "vector", "text"] | None = None
    marks: bool = True
    min: float = Field(default=0.0, ge=0, le=1)
    explain: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.cursor is not None and self.offset:
            raise ValueError("cursor and offset both say where to begin: keep one")
        return self

    def query(self, terms: tuple[Term, ...], default_limit: int) -> Query:
        """The engine's query for these terms. Raises InvalidInput for filters that cannot be read."""
        limit = self.limit or default_limit
        return Query(
            terms, Modality(self.modality), self.where(), limit, self.offset, self.exact, self.fold,
            None if self.mode is None else Mode(self.mode), self.marks, self.min, self.explain,
        )  # fmt: skip


class SearchRequest(Page):
    """A search as JSON: `text` in short, or `terms`."""

    text: Words | None = None
    terms: list[TermIn] = Field(default=[], max_length=MAX_TERMS)

    @property
    def texts(self) -> list[str]:
        """All words that it asks for."""
        return [text for text in (self.text, *(term.text for term in self.terms)) if text]

    def to_query(self, decode: Decoder, default_limit: int) -> Query:
        """The engine's query. Raises InvalidInput for pictures that cannot be decoded, or too many of them."""
        if sum(term.image is not None for term in self.terms) > MAX_PICTURES:
            raise InvalidInput(f"terms: at most {MAX_PICTURES} of them are pictures; items are not counted")
        words = () if self.text is None else (Term(text=self.text),)
        return self.query((*words, *(term.to_term(decode) for term in self.terms)), default_limit)


class SearchForm(Page):
    """A search as an address. `q` is read as the search page's box reads it, `text` as plain words."""

    q: Words | None = None
    text: Words | None = None
    item: Annotated[list[ItemId], BeforeValidator(_listed)] = Field(default=[], max_length=MAX_TERMS)

    def to_query(self, decode: Decoder, default_limit: int) -> Query:
        """The engine's query. Raises InvalidInput for a `q` that cannot be read, or says what another field says."""
        box = parse(self.q or "")
        words = [Term(text=self.text)] if self.text else []
        terms = (*box.terms, *words, *(Term(item=item) for item in self.item))
        if len(terms) > MAX_TERMS:
            raise InvalidInput(f"{len(terms)} parts are too many for one search: give at most {MAX_TERMS}")
        typed = {name: value for name, value in asdict(box.filters).items() if value}
        typed |= {"modality": box.modality} if box.modality else {}
        typed |= {"min": box.least} if box.least else {}
        for name in typed.keys() & self.model_fields_set:
            raise InvalidInput(f"q and {name}= both say it: keep one of them")
        return self.model_copy(update=typed).query(terms, default_limit)


class SearchUpload(SearchForm):
    """A search as multipart/form-data: with one picture, as a file."""

    image: bytes

    def to_query(self, decode: Decoder, default_limit: int) -> Query:
        """The engine's query, with the uploaded picture as its first term."""
        rest = super().to_query(decode, default_limit)
        return replace(rest, terms=(Term(image=decode(self.image)), *rest.terms))


class PartOut(Shape):
    """What one term gave to a hit. share: its part of the score; the shares of all terms add up to that."""

    term: str
    weight: float
    cosine: float
    share: float


class ExplanationOut(Shape):
    """Why a hit is there. stages: what let it in (recall, refine, cascade, exact, text). parts: what each term gave.

    vector_rank, text_rank: its places in the two lists, from 1 on. text_score: BM25. text_of: what holds the words,
    caption, path or keywords. fused: the sum of reciprocal ranks, by which hybrid hits are ordered.
    """

    stages: list[str]
    parts: list[PartOut]
    vector_rank: int | None
    text_rank: int | None
    text_score: float | None
    text_of: str | None
    fused: float | None

    @classmethod
    def of(cls, found: Explanation) -> Self:
        """From the engine's."""
        return cls.model_validate(asdict(found))


class HitOut(Shape):
    """One result. score: cosine, higher is better; null without a vector, as in mode text. confidence: 0 to 1, that
    it is what the words ask for; null where nothing is calibrated. explanation: where it was asked for.

    url and thumbnail show `item`: the picture itself, or what a caption describes.

    item: null for sounds and words that stand alone. thumbnail: null without a picture; its address changes with the
    picture. position: page or frame number from 0, or milliseconds; place: the same in words, such as `1:23`.
    alike: how many near-duplicates are folded under it.
    """

    id: int
    score: float | None
    modality: Modality
    path: str
    caption: str | None
    url: str
    thumbnail: str | None
    item: int | None
    width: int | None
    height: int | None
    position: int | None
    place: str | None
    alike: int
    confidence: float | None = None
    explanation: ExplanationOut | None = None

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """From the engine's hit; its root, an absolute path, stays behind."""
        url, thumbnail = _addresses(hit.id, hit.item, hit.thumb)
        return cls(
            id=hit.id, score=hit.score, modality=hit.modality, path=hit.path, caption=hit.caption, url=url,
            thumbnail=thumbnail, item=hit.item, width=hit.width, height=hit.height, position=hit.position,
            place=place_in(hit.path, hit.position, hit.modality), alike=hit.alike, confidence=hit.confidence,
            explanation=hit.explanation and ExplanationOut.of(hit.explanation),
        )  # fmt: skip

    @classmethod
    def of_view(cls, view: ItemView) -> Self:
        """From an item that was not searched for, and so has no score."""
        item, modality = view.item, Modality(view.item.modality)
        url, thumbnail = _addresses(item.id, view.picture_id, view.thumb)
        return cls(
            id=item.id, score=None, modality=modality, path=item.path, caption=view.caption, url=url,
            thumbnail=thumbnail, item=view.picture_id, width=item.width, height=item.height, position=item.position,
            place=place_in(item.path, item.position, modality), alike=0,
        )  # fmt: skip


class SearchResponse(Shape):
    """A page of hits, best first. next: the cursor of the following page, or null at the end. took_ms: by stage.

    confidence: from 0 to 1, that what the words ask for is there at all, and in a word; null where nothing is
    calibrated. mode: what answered. marks: how many of this query counted. index_version: 0 before there is one.
    notice: why a hybrid query was answered by text alone; null where it was not.
    depths: where `explain` was asked for, how deep the stages looked: `items` compared by `codes`, `candidates` handed
    on to refine, `probes` of `lists` read, `measured_recall` at 10; or how many were compared one by one (`exact`).
    """

    hits: list[HitOut]
    next: str | None
    took_ms: dict[str, float]
    index_version: int
    confidence: float | None
    band: Literal["likely", "unsure", "unlikely"] | None
    mode: Mode
    marks: int
    notice: str | None
    depths: dict[str, str | int | float] | None = None

    @classmethod
    def of(cls, results: Results, following: str | None, explain: bool = False) -> Self:
        """From the engine's results, and the cursor of what follows them. explain: whether that was asked for."""
        hits = [HitOut.of(hit) for hit in results.hits]
        return cls(
            hits=hits, next=following, took_ms=results.took_ms, index_version=results.index_version,
            confidence=results.confidence, band=band(results.confidence), mode=results.mode, marks=results.marks,
            notice=results.notice and explain_error(results.notice)[1],
            depths=results.depths if explain else None,
        )  # fmt: skip


class CaptionOut(Shape):
    """A caption. source: where it was read from."""

    id: int
    text: str
    lang: str
    source: str

    @classmethod
    def of(cls, caption: Caption) -> Self:
        """From the catalog's row; its source by name, without folders."""
        return cls(id=caption.id, text=caption.text, lang=caption.lang, source=_name(caption.source))


class FactsOut(Shape):
    """What a file says of itself.

    taken: by the camera's clock where no zone is known, else in UTC. latitude, longitude: to about a kilometre.
    duration_ms: of a film or a sound. pages: pages or frames, kept or not.
    """

    taken: datetime | None = None
    camera: str | None = None
    place: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    title: str | None = None
    keywords: list[str] = []
    duration_ms: int | None = None
    pages: int | None = None

    @classmethod
    def of(cls, row: FactsRow | None, keywords: list[str]) -> Self:
        """From the catalog's rows."""
        if row is None:
            return cls(keywords=keywords)
        return cls(
            taken=_moment(row.taken_at), camera=row.camera, place=row.place,
            latitude=_rounded(row.latitude), longitude=_rounded(row.longitude), title=row.title, keywords=keywords,
            duration_ms=row.duration_ms, pages=row.pages,
        )  # fmt: skip

    def placeless(self) -> Self:
        """Without where it was taken."""
        return self.model_copy(update={"place": None, "latitude": None, "longitude": None})

    @property
    def said(self) -> bool:
        """Whether it says anything."""
        return self != FactsOut()

    @property
    def day(self) -> str | None:
        """The day it was taken, as the filter takes it."""
        return self.taken.date().isoformat() if self.taken else None

    @property
    def around(self) -> str | None:
        """Where it was taken, as the filter takes it."""
        somewhere = self.latitude is not None and self.longitude is not None
        return f"{self.latitude:.2f},{self.longitude:.2f}" if somewhere else None


class ItemOut(Shape):
    """An item. item: what to show of it, whose width, height and captions these are. position, place: its own.

    facts: what its file says of itself.
    """

    id: int
    modality: Modality
    path: str
    item: int
    position: int | None
    place: str | None
    width: int | None
    height: int | None
    bytes: int
    modified: datetime
    split: str | None
    captions: list[CaptionOut]
    facts: FactsOut
    url: str
    thumbnail: str | None

    @classmethod
    def of(cls, view: ItemView, shown: ItemView, file: ItemView, captions: list[Caption], facts: FactsOut) -> Self:
        """From the catalog's rows."""
        seen, whole, modality = shown.item, file.item, Modality(view.item.modality)
        url, thumbnail = _addresses(view.item.id, seen.id, shown.thumb)
        return cls(
            id=view.item.id, modality=modality, path=seen.path, item=seen.id, position=view.item.position,
            place=place_in(seen.path, view.item.position, modality), width=seen.width, height=seen.height,
            bytes=whole.size, modified=datetime.fromtimestamp(whole.mtime_ns / 1e9, UTC), split=whole.split, url=url,
            thumbnail=thumbnail,
            captions=[CaptionOut.of(caption) for caption in captions],
            facts=facts,
        )  # fmt: skip


def thumbnail_address(item: int, thumb: str) -> str:
    """Where a thumbnail is; another address when the picture changes, so that browsers may keep it."""
    return f"/thumbs/{item}?v={thumb}"


def _addresses(id_: int, item: int | None, thumb: str | None) -> tuple[str, str | None]:
    """Of the original and of the thumbnail of a hit; `item` is what is shown of it."""
    return f"/media/{item or id_}", thumbnail_address(item, thumb) if item and thumb else None


def explain(error: ValidationError) -> InvalidInput:
    """Pydantic's first complaint as a sentence that names the key."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return InvalidInput(f"the body cannot be read: {message}")
    if first["type"] == "extra_forbidden":
        return InvalidInput(f"unknown key {where!r}: see the documentation of /api/v1 for those it knows")
    return InvalidInput(f"{where}: {message}" if where else message)


def from_base64(text: str) -> bytes:
    """Bytes of base64, or of a data: address as browsers make them."""
    payload = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("image: not base64: encode the bytes of the file") from None


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else EPOCH + timedelta(seconds=seconds)
    except OverflowError:  # beyond the year 9999
        return None


def _rounded(degrees: float | None) -> float | None:
    return None if degrees is None else round(degrees, 2)


def _name(source: str) -> str:
    return source.replace("\\", "/").rsplit("/", 1)[-1]
