"""/api/v1/marks: what people said of results, good or bad: it counts at once, and is learned from."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from flask import Blueprint
from pydantic import Field

from engine import marks
from engine.errors import InvalidInput
from engine.filters import check_text
from engine.types import Term
from webui.operations import Operation, operation
from webui.schemas import LARGEST_ID, MAX_PICTURES, ItemId, Shape, Words
from webui.search_shapes import TermIn
from webui.services import services

MAX_MARKED = 100
Ids = Annotated[list[ItemId], Field(min_length=1, max_length=MAX_MARKED)]

marks_api = Blueprint("marks_api", __name__, url_prefix="/api/v1")


class MarkRequest(Shape):
    """Items as good or bad answers to a query: `text` in short, or its `terms`."""

    text: Words | None = Field(default=None, description="The query's plain words; null: its terms alone.")
    terms: list[TermIn] = Field(
        default=[], max_length=32, description="The query's terms, 32 at most, 4 of them pictures."
    )
    items: Ids = Field(description="The ids of 1 to 100 items.")
    good: bool | None = Field(description="true: good answers; false: bad ones; null takes back what was said.")

    def asked(self) -> tuple[Term, ...]:
        """The query's terms. Raises InvalidInput."""
        if sum(term.image is not None for term in self.terms) > MAX_PICTURES:
            raise InvalidInput(f"terms: at most {MAX_PICTURES} of them are pictures; items are not counted")
        words = () if self.text is None else (Term(text=self.text),)
        return (*words, *(term.to_term(services().decode) for term in self.terms))


class MarkedOut(Shape):
    """How many marks were put or taken back, and the query's items now."""

    count: int = Field(description="How many marks were put or taken back.")
    good: list[int] = Field(description="Items that are good answers to the query now, the last 64.")
    bad: list[int] = Field(description="Items that are bad answers to the query now.")
    learned: int = Field(description="Marks of the library that rebus train would use.")


class MarkOut(Shape):
    """A mark."""

    id: int = Field(description="The mark's number.")
    item: int = Field(description="The id of the marked item.")
    query: str | None = Field(
        description="The query's words; null for a query of more than words, which is known by its vector."
    )
    good: bool = Field(description="true: a good answer; false: a bad one.")
    marked_at: datetime = Field(description="When it was marked, in UTC.")


class MarksRequest(Shape):
    """Which marks: of these words, or all."""

    q: Words | None = Field(default=None, description="Marks of this query's words alone, in any case; null: of all.")
    kind: Literal["words", "other"] | None = Field(
        default=None, description="words: of queries of words alone; other: of all others; null: both."
    )
    cursor: int | None = Field(
        default=None, ge=1, le=LARGEST_ID, description="The next of the page before; null: from the start."
    )
    limit: int = Field(default=100, ge=1, le=1000, description="Marks of the page, 1 to 1,000.")


class MarksOut(Shape):
    """Marks on present items, the newest first."""

    marks: list[MarkOut] = Field(description="Marks on present items, the newest first.")
    next: int | None = Field(description="The cursor of the following page; null at the end.")
    learned: int = Field(description="Marks of the library that rebus train would use.")


class ForgetRequest(Shape):
    """Marks by their numbers."""

    ids: Ids = Field(description="The numbers of 1 to 100 marks.")


class ForgottenOut(Shape):
    """How many marks there were to forget."""

    count: int = Field(description="How many marks there were to forget.")


@marks_api.post("/marks")
@operation(Operation(MarkedOut, body=MarkRequest, changes=True))
def mark(asked: MarkRequest) -> MarkedOut:
    """Mark items as good or bad answers to a query, or take that back."""
    services().freshness.ensure()
    known = services().searcher.known_as(asked.asked())
    count = marks.put(services().catalog, known, asked.items, asked.good)
    now = marks.of_query(services().catalog, known)
    return MarkedOut(count=count, good=list(now.good), bad=list(now.bad), learned=marks.learned(services().catalog))


@marks_api.post("/marks/forget")
@operation(Operation(ForgottenOut, body=ForgetRequest, changes=True))
def forget(asked: ForgetRequest) -> ForgottenOut:
    """Forget marks by their numbers."""
    return ForgottenOut(count=marks.forget(services().catalog, asked.ids))


@marks_api.get("/marks")
@operation(Operation(MarksOut, query=MarksRequest))
def listed(asked: MarksRequest) -> MarksOut:
    """What was marked, the newest first."""
    if asked.q is not None:
        check_text([asked.q])
    rows = marks.listed(
        services().catalog, asked.q, before=asked.cursor or LARGEST_ID, limit=asked.limit + 1,
        vectors=None if asked.kind is None else asked.kind == "other",
    )  # fmt: skip
    shown = [
        MarkOut(
            id=row.id,
            item=row.item_id,
            query=row.query or None,
            good=row.good,
            marked_at=datetime.fromtimestamp(row.marked_at, UTC),
        )
        for row in rows[: asked.limit]
    ]
    following = shown[-1].id if len(rows) > asked.limit else None
    return MarksOut(marks=shown, next=following, learned=marks.learned(services().catalog))
