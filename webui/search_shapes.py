"""The shapes of what is searched for: terms, filters, pages, and a search as JSON, as an address or as a form."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, Self

from PIL.Image import Image
from pydantic import BeforeValidator, Field, model_validator

from engine.errors import InvalidInput
from engine.filters import Filters
from engine.types import Modality, Mode, Query, Term, Where
from webui.query_box import parse
from webui.schemas import MAX_LIMIT, MAX_PICTURES, MAX_TERMS, MAX_WIDTH, ItemId, Shape, Words

Share = Annotated[float, Field(ge=0, le=1)]
Decoder = Callable[[bytes], Image]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Encodable(Shape):
    """Exactly one of text, item, image (base64) or vector (of the joint space, as `encode` answers it)."""

    text: Words | None = Field(
        default=None, description="Words, at most 2,000 characters; null for another kind of term."
    )
    item: ItemId | None = Field(default=None, description="The id of an indexed item; null for another kind of term.")
    image: str | None = Field(
        default=None, description="A picture file as base64, or as a data: address; null for another kind of term."
    )
    vector: list[float] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_WIDTH,
        description="A vector of the joint space, of any length but 0; null for another kind of term.",
    )
    region: list[Share] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="The part of its picture that is meant: left, top, width, height as shares; null: all of it.",
    )

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
    """One part of a query: exactly one of text, item, image or vector, with its weight."""

    weight: float = Field(
        default=1.0,
        ge=-1000,
        le=1000,
        description="How much the term counts, -1000 to 1000; a negative weight pushes away.",
    )

    def to_term(self, decode: Decoder) -> Term:
        return replace(super().to_term(decode), weight=self.weight)


class Narrowed(Shape):
    """Which items are looked at, and what kind they are.

    No encoder takes sounds yet: audio is found by its words alone.
    """

    modality: Literal["image", "text", "video", "audio"] = Field(
        default="image",
        description="The kind of items: image, text (captions and documents), video (moments of films) or audio.",
    )
    path: Words | None = Field(
        default=None, description="A glob over paths relative to their library folder, such as holiday/**; null: all."
    )
    taken: Words | None = Field(
        default=None,
        description="A year, month, day or range of them, such as 2023, 2023-06 or 2023-06..2023-08; null: any time.",
    )
    camera: Words | None = Field(default=None, description="A part of the camera's name, in any case; null: any.")
    keyword: Annotated[list[Words], BeforeValidator(_listed)] = Field(
        default=[], description="A keyword, or several of which all must be there, at most 32; in any case. Empty: any."
    )
    place: Words | None = Field(default=None, description="A part of the place's name, in any case; null: any.")
    near: Words | None = Field(
        default=None,
        description="latitude,longitude,km: degrees and a distance, such as 38.72,-9.14,5; null: anywhere.",
    )
    source: Words | None = Field(
        default=None, description="What words were read from, such as exif, ocr or *.jsonl; null: any."
    )
    root: Words | None = Field(
        default=None,
        description="The name of one of the library's folders, in any case, without what it lies in; null: all.",
    )

    def where(self) -> Where:
        """What the filters mean. Raises InvalidInput for those that cannot be read."""
        given = {name: getattr(self, name) for name in Filters.__dataclass_fields__}
        return Filters(**given | {"keyword": tuple(self.keyword)}).where()


class Page(Narrowed):
    """What every search may say about its hits."""

    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_LIMIT,
        description="Hits of the page, 1 to 1,000; null: as search.limit is set (24 unless changed).",
    )
    offset: int = Field(
        default=0,
        ge=0,
        description="Hits to skip from the best on; limit and offset together at most 10,000. Not beside cursor.",
    )
    cursor: Words | None = Field(
        default=None, description="The next of the page before, of the same search; null: from the start."
    )
    exact: bool = Field(
        default=False, description="Compare with every vector instead of searching the index: slower, misses nothing."
    )
    fold: bool = Field(
        default=True, description="Show one picture of each group of near-duplicates, with their number as alike."
    )
    mode: Literal["hybrid", "vector", "text"] | None = Field(
        default=None,
        description="What words are compared with: vectors, text, or both (hybrid); null: as search.mode is set.",
    )
    marks: bool = Field(default=True, description="Let what was marked good or bad for the same query count.")
    min: float = Field(
        default=0.0, ge=0, le=1, description="Leave out hits of a lower confidence, 0 to 1; 0 leaves out none."
    )
    explain: bool = Field(
        default=False, description="Say of each hit why it is there, and of the search how deep it looked."
    )

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

    text: Words | None = Field(default=None, description="Plain words, in short for one term; null: the terms alone.")
    terms: list[TermIn] = Field(
        default=[],
        max_length=MAX_TERMS,
        description="What to search with, 32 at most, 4 of them pictures; items that are named stay among the hits.",
    )

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
    """A search as an address: `q` is read as the search page's box is, the rest are fields."""

    q: Words | None = Field(
        default=None,
        description='What the page\'s box takes: words, -word, "a phrase", like:ID, type:, min:, filters; null: none.',
    )
    text: Words | None = Field(default=None, description="Words as they are, without the box's syntax; null: none.")
    item: Annotated[list[ItemId], BeforeValidator(_listed)] = Field(
        default=[],
        max_length=MAX_TERMS,
        description="Ids of example items, 32 at most, given one by one; they stay among the hits.",
    )

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

    image: bytes = Field(description="The file of a picture.")

    def to_query(self, decode: Decoder, default_limit: int) -> Query:
        """The engine's query, with the uploaded picture as its first term."""
        rest = super().to_query(decode, default_limit)
        return replace(rest, terms=(Term(image=decode(self.image)), *rest.terms))


def from_base64(text: str) -> bytes:
    """Bytes of base64, or of a data: address as browsers make them."""
    payload = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("image: not base64: encode the bytes of the file") from None
