"""Cursors: the pages of a search follow each other without gap or repeat, while items come and go under them."""

import base64
import binascii
from dataclasses import replace
from typing import Annotated, Self

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import InvalidInput
from engine.types import Hit, Mode, Query, Results, Term
from webui.services import Services

DEEPEST = 10_000  # the engine's bound of offset + limit
_SLACK = 64  # ranks that a hit is looked for around its old one, before all are gone through
_FOREIGN = "the cursor cannot be read: send the `next` of an answer as it was, with the same search"


class Expired(InvalidInput):
    """What a cursor goes on from is no longer comparable: another encoder or head is served."""

    status = 410


class Cursor(BaseModel):
    """Where a page ended: behind the hit `last`, which this score put at rank `offset` - 1.

    space: what vectors are compared in, search: what was asked. state: of the ranking; while it stays the same, ranks
    do too. Only what a client was told stands in it, and all of it is checked: there is nothing to sign.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    space: Annotated[str, Field(max_length=40)]
    search: Annotated[str, Field(max_length=16)]
    state: Annotated[str, Field(max_length=80)]
    offset: int = Field(ge=0, le=DEEPEST)
    last: int
    score: float

    def packed(self) -> str:
        """As clients carry it."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def unpacked(cls, text: str) -> Self:
        """Read what `packed` wrote. Raises InvalidInput for anything else."""
        try:
            return cls.model_validate_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (binascii.Error, ValidationError, ValueError):
            raise InvalidInput(_FOREIGN) from None


def search_page(library: Services, query: Query, cursor: str | None) -> tuple[Results, str | None]:
    """A page of hits, and the cursor of the next one. Raises InvalidInput, Expired, and what a search raises."""
    at = None if cursor is None else Cursor.unpacked(cursor)
    library.freshness.ensure()
    mode = library.searcher.mode(query)
    space = library.searcher.space if mode is not Mode.TEXT else "text"
    asked = _digest(query)
    if at is not None and at.search != asked:
        raise InvalidInput(_FOREIGN)
    if at is not None and at.space != space:
        raise Expired("the library is served with another encoder or head since then: search again from the start")
    results, end = _found(library, query, at, mode)
    if results.more and not results.hits:  # all of this page was removed since the library was looked at last
        library.freshness.expire()
        results, end = _found(library, query, at, mode)
    if not results.more or not results.hits or end + query.limit > DEEPEST:
        return results, None
    last = results.hits[-1]
    following = Cursor(space=space, search=asked, state=results.state, offset=end, last=last.id, score=last.order)
    return results, following.packed()


def _found(library: Services, query: Query, at: Cursor | None, mode: Mode) -> tuple[Results, int]:
    """The hits from where a page ended, and the rank at which they end: by its rank, while nothing has changed."""
    if at is None:
        return library.search(query), query.offset + query.limit
    if mode is Mode.VECTOR:
        results = library.search(replace(query, offset=at.offset))
        if results.state == at.state:
            return results, at.offset + query.limit
    return _after(library, query, at)


def _after(library: Services, query: Query, at: Cursor) -> tuple[Results, int]:
    """The hits behind the last one seen, wherever it ranks now, and the rank at which they end."""
    near = max(0, at.offset - _SLACK), min(DEEPEST, at.offset + query.limit + _SLACK)
    for start, end in (near, (0, DEEPEST)):
        results = library.search(replace(query, offset=start, limit=end - start), page=query.limit)
        place = _behind(results.hits, at)
        inside = place > 0 or start == 0
        if inside and (place + query.limit < len(results.hits) or not results.more):
            break
    hits = results.hits[place : place + query.limit]
    more = results.more or place + query.limit < len(results.hits)
    return replace(results, hits=hits, more=more), start + place + len(hits)


def _behind(hits: tuple[Hit, ...], at: Cursor) -> int:
    """The place of the first hit that ranks behind the last one seen; when that is gone, behind where it was."""
    for place, hit in enumerate(hits):
        if hit.id == at.last:
            return place + 1
    after = (place for place, hit in enumerate(hits) if (-hit.order, hit.id) > (-at.score, at.last))
    return next(after, len(hits))


def _digest(query: Query) -> str:
    """What is asked, whatever page of it."""
    terms = [_facts(term) for term in query.terms]
    rest = query.modality, query.where, query.exact, query.fold, query.mode, query.marks, query.least, query.without
    return xxhash.xxh3_64_hexdigest(repr((terms, *rest)))


def _facts(term: Term) -> tuple[object, ...]:
    picture = None if term.image is None else xxhash.xxh3_64_hexdigest(term.image.tobytes())
    return term.text, term.item, term.vector, term.weight, picture, term.region
