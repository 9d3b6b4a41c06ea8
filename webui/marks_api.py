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
from webui.schemas import LARGEST_ID, MAX_PICTURES, ItemId, Shape, TermIn, Words
from webui.services import services

MAX_MARKED = 100
Ids = Annotated[list[ItemId], Field(min_length=1, max_length=MAX_MARKED)]

marks_api = Blueprint("marks_api", __name__, url_prefix="/api/v1")


class MarkRequest(Shape):
    """Items as good (true) or bad (false) answers to a query: `text` in short, or its `terms`. null takes it back."""

    text: Words | None = None
    terms: list[TermIn] = Field(default=[], max_length=32)
    items: Ids
    good: bool | None

    def asked(self) -> tuple[Term, ...]:
        """The query's terms. Raises InvalidInput."""
        if sum(term.image is not None for term in self.terms) > MAX_PICTURES:
            raise InvalidInput(f"terms: at most {MAX_PICTURES} of them are pictures; items are not counted")
        words = () if self.text is None else (Term(text=self.text),)
        return (*words, *(term.to_term(services().decode) for term in self.terms))


class MarkedOut(Shape):
    """How many marks were put or taken back, and the query's items now. learned: marks that `rebus train` would use."""

    count: int
    good: list[int]
    bad: list[int]
    learned: int


class MarkOut(Shape):
    """A mark. query: its words; null for a query of more than words, which is known by its vector."""

    id: int
    item: int
    query: str | None
    good: bool
    marked_at: datetime


class MarksRequest(Shape):
    """Which marks: of these words, or all. cursor: the `next` of the page before."""

    q: Words | None = None
    kind: Literal["words", "other"] | None = None
    cursor: int | None = Field(default=None, ge=1, le=LARGEST_ID)
    limit: int = Field(default=100, ge=1, le=1000)


class MarksOut(Shape):
    """Marks on present items, the newest first."""

    marks: list[MarkOut]
    next: int | None
    learned: int


class ForgetRequest(Shape):
    """Marks by their numbers."""

    ids: Ids


class ForgottenOut(Shape):
    """How many marks there were to forget."""

    count: int


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
