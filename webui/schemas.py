"""The shapes of /api/v1: the rules of all, and those of hits and items. Unknown keys are errors."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.catalog import Caption, FactsRow
from engine.confidence import band
from engine.errors import InvalidInput
from engine.shown import ItemView
from engine.types import Explanation, Hit, Modality, Mode, Results
from engine.words import place_in
from webui.problems import explain_error

MAX_LIMIT = 1000
MAX_TERMS = 32
MAX_PICTURES = 4
MAX_WIDTH = 16_384
LARGEST_ID = 2**63 - 1  # what a catalog's integer column holds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # fromtimestamp knows no earlier times on some systems

ItemId = Annotated[int, Field(ge=1, le=LARGEST_ID)]
Words = Annotated[str, Field(max_length=2000)]


class Shape(BaseModel):
    """Rules of every shape."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PartOut(Shape):
    """What one term gave to a hit."""

    term: str = Field(description="The term: its words, `item 12`, `a picture`, `a vector`, or `good marks`.")
    weight: float = Field(description="The weight it had.")
    cosine: float = Field(description="Cosine of the term and the hit, -1 to 1, higher is nearer.")
    share: float = Field(description="Its part of the score: the shares of all terms add up to that.")


class ExplanationOut(Shape):
    """Why a hit is there."""

    stages: list[str] = Field(description="What let the hit in: recall, refine, cascade, exact, text.")
    parts: list[PartOut] = Field(description="What each term gave; empty without a vector.")
    vector_rank: int | None = Field(description="Its place by vectors, from 1 on; null where these did not find it.")
    text_rank: int | None = Field(
        description="Its place by words as written, from 1 on; null where these did not find it."
    )
    text_score: float | None = Field(description="BM25, higher is better; null where words as written did not find it.")
    text_of: str | None = Field(description="What holds the words: caption, path or keywords; null where none does.")
    fused: float | None = Field(
        description="The sum of reciprocal ranks, by which hybrid hits are ordered; null in other modes."
    )

    @classmethod
    def of(cls, found: Explanation) -> Self:
        """From the engine's."""
        return cls.model_validate(asdict(found))


class HitOut(Shape):
    """One result."""

    id: int = Field(description="The item's id, which terms, marks and /items take.")
    score: float | None = Field(description="Cosine, -1 to 1, higher is better; null without a vector or a search.")
    modality: Modality = Field(description="What the hit is; a caption is text.")
    path: str = Field(
        description="The path of the file, or of what a caption describes, relative to its library folder."
    )
    caption: str | None = Field(
        description="The caption: the hit's own for text, else one that describes it; null without any."
    )
    url: str = Field(description="The address of the original file on this server.")
    thumbnail: str | None = Field(
        description="The address of its thumbnail, another when the picture changes; null without a picture."
    )
    item: int | None = Field(
        description="The item to show: itself, or what a caption describes; null for sounds and words that stand alone."
    )
    width: int | None = Field(description="Pixels of the picture; null without one.")
    height: int | None = Field(description="Pixels of the picture; null without one.")
    position: int | None = Field(
        description="Page or frame number from 0, or milliseconds into a film or sound; null for a whole file."
    )
    place: str | None = Field(description="The position in words, such as p. 4 or 1:23; null for a whole file.")
    alike: int = Field(description="How many near-duplicates are folded under it.")
    confidence: float | None = Field(
        default=None,
        description="Probability, 0 to 1, that it is what the words ask for; null where nothing is calibrated.",
    )
    explanation: ExplanationOut | None = Field(
        default=None, description="Why it is there; null unless explain was asked for."
    )

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """From the engine's hit; its root, an absolute path, stays behind."""
        return cls(**cls.values(hit))

    @staticmethod
    def values(hit: Hit) -> dict[str, Any]:
        """What `of` makes one of: a page of hits is checked in one go, in half the time."""
        url, thumbnail = _addresses(hit.id, hit.item, hit.thumb)
        return dict(
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
    """A page of hits, best first."""

    hits: list[HitOut] = Field(description="The hits of this page, best first.")
    next: str | None = Field(description="The cursor of the following page; null at the end.")
    took_ms: dict[str, float] = Field(
        description="Milliseconds by stage, and total; wait is behind other searches, where it had to."
    )
    index_version: int = Field(description="The number of the version that answered; 0 before there is one.")
    confidence: float | None = Field(
        description="Probability, 0 to 1, that what the words ask for is there; null where nothing is calibrated."
    )
    band: Literal["likely", "unsure", "unlikely"] | None = Field(
        description="The confidence in a word; null where nothing is calibrated."
    )
    mode: Mode = Field(description="What words were compared with.")
    marks: int = Field(description="How many marks of this query counted.")
    notice: str | None = Field(description="Why a hybrid query was answered by text alone; null where it was not.")
    depths: dict[str, str | int | float] | None = Field(
        default=None,
        description="How deep it looked: items, candidates, probes of lists, measured_recall; null without explain.",
    )

    @classmethod
    def of(cls, results: Results, following: str | None, explain: bool = False) -> Self:
        """From the engine's results, and the cursor of what follows them. explain: whether that was asked for."""
        return cls.model_validate(dict(
            hits=[HitOut.values(hit) for hit in results.hits], next=following, took_ms=results.took_ms,
            index_version=results.index_version, confidence=results.confidence, band=band(results.confidence),
            mode=results.mode, marks=results.marks, notice=results.notice and explain_error(results.notice)[1],
            depths=results.depths if explain else None,
        ))  # fmt: skip


class CaptionOut(Shape):
    """A caption."""

    id: int = Field(description="The caption's id: it is an item of its own.")
    text: str = Field(description="Its words.")
    lang: str = Field(description="Its language as a code such as en; empty where it is not known.")
    source: str = Field(description="Where it was read from: a file's name, or a kind such as exif or ocr.")

    @classmethod
    def of(cls, caption: Caption) -> Self:
        """From the catalog's row; its source by name, without folders."""
        return cls(id=caption.id, text=caption.text, lang=caption.lang, source=_name(caption.source))


class FactsOut(Shape):
    """What a file says of itself."""

    taken: datetime | None = Field(
        default=None,
        description="When: in UTC, or by the camera's clock where no zone is known; null where that is not known.",
    )
    camera: str | None = Field(default=None, description="The camera's name; null where it is not known.")
    place: str | None = Field(default=None, description="The place's name; null where it is not known or not shown.")
    latitude: float | None = Field(
        default=None, description="Degrees, to about a kilometre; null where it is not known or not shown."
    )
    longitude: float | None = Field(
        default=None, description="Degrees, to about a kilometre; null where it is not known or not shown."
    )
    title: str | None = Field(default=None, description="The title; null without one.")
    keywords: list[str] = Field(default=[], description="The keywords, in lower case.")
    duration_ms: int | None = Field(default=None, description="Milliseconds of a film or a sound; null for others.")
    pages: int | None = Field(default=None, description="Pages or frames, kept or not; null for others.")

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
    """An item with its captions and facts."""

    id: int = Field(description="The item's id.")
    modality: Modality = Field(description="What the item is; a caption is text.")
    path: str = Field(description="The path of what is shown, relative to its library folder.")
    item: int = Field(
        description="What is shown of it, itself or what a caption describes; size, captions and facts are of this."
    )
    position: int | None = Field(
        description="Page or frame number from 0, or milliseconds into a film or sound; null for a whole file."
    )
    place: str | None = Field(description="The position in words, such as p. 4 or 1:23; null for a whole file.")
    width: int | None = Field(description="Pixels of the picture; null without one.")
    height: int | None = Field(description="Pixels of the picture; null without one.")
    bytes: int = Field(description="The size of the file.")
    modified: datetime = Field(description="When the file was last changed, in UTC.")
    split: str | None = Field(
        description="The part of the library for learning and measuring: train, val or test; null before one is drawn."
    )
    captions: list[CaptionOut] = Field(description="The words that describe it.")
    facts: FactsOut = Field(description="What its file says of itself.")
    url: str = Field(description="The address of the original file on this server.")
    thumbnail: str | None = Field(
        description="The address of its thumbnail, another when the picture changes; null without a picture."
    )

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


def _moment(seconds: float | None) -> datetime | None:
    try:
        return None if seconds is None else EPOCH + timedelta(seconds=seconds)
    except OverflowError:  # beyond the year 9999
        return None


def _rounded(degrees: float | None) -> float | None:
    return None if degrees is None else round(degrees, 2)


def _name(source: str) -> str:
    return source.replace("\\", "/").rsplit("/", 1)[-1]
