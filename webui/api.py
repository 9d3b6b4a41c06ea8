"""/api/v1 as far as it searches: one search, many, a stream of hits, what is similar, and embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flask import Blueprint
from pydantic import Field

from engine.errors import InvalidInput, RebusError
from engine.types import Query, Term
from webui.operations import Operation, operation
from webui.paging import DEEPEST, search_page
from webui.problems import Problem, explain_error
from webui.schemas import (
    LARGEST_ID,
    MAX_PICTURES,
    HitOut,
    SearchResponse,
    Shape,
)
from webui.search_shapes import Encodable, Page, SearchForm, SearchRequest, SearchUpload
from webui.services import services

MAX_SEARCHES, MAX_ENCODED = 32, 64

api = Blueprint("api", __name__, url_prefix="/api/v1")


class Batch(Shape):
    """Several searches at once: their words are encoded together."""

    searches: list[SearchRequest] = Field(
        min_length=1, max_length=MAX_SEARCHES, description="1 to 32 searches, with at most 4 pictures among all."
    )


class BatchOut(Shape):
    """The answers, in the order of the searches: each its own page of hits, or the problem that it met."""

    answers: list[SearchResponse | Problem] = Field(
        description="In the order of the searches: a page of hits, or the problem that the search met."
    )


class StreamRequest(SearchRequest):
    """A search of which many hits are wanted, without pages."""

    limit: int | None = Field(
        default=None,
        ge=1,
        le=DEEPEST,
        description="Hits wanted, 1 to 10,000; null: as search.limit is set (24 unless changed).",
    )


class EncodeRequest(Shape):
    """What is wanted as vectors: at most four of them pictures."""

    inputs: list[Encodable] = Field(
        min_length=1, max_length=MAX_ENCODED, description="1 to 64 inputs, at most 4 of them pictures."
    )


class EncodeOut(Shape):
    """Unit vectors of the joint space: inner products of them are the scores of searches."""

    vectors: list[list[float]] = Field(
        description="Unit vectors in the order of the inputs: their inner products are cosines."
    )
    dim: int = Field(description="Numbers of each vector.")
    space: str = Field(description="What the vectors are comparable in: those of one space, and no others.")


@api.post("/search")
@operation(Operation(SearchResponse, body=SearchRequest, form=SearchUpload))
def search_by_post(asked: SearchRequest | SearchUpload) -> SearchResponse:
    """Search with words, items, pictures (base64) and vectors, weighted; or with a picture uploaded as a form."""
    return _answer(asked)


@api.get("/search")
@operation(Operation(SearchResponse, query=SearchForm))
def search_by_get(asked: SearchForm) -> SearchResponse:
    """Search with the address alone: `q` is what one types into the search page, `text` is plain words."""
    return _answer(asked)


@api.post("/search/batch")
@operation(Operation(BatchOut, body=Batch))
def batch(asked: Batch) -> BatchOut:
    """Ask several searches at once; one that cannot be asked does not spoil the others."""
    _check_pictures([term for search in asked.searches for term in search.terms])
    services().encode_ahead([text for search in asked.searches for text in search.texts])
    return BatchOut(answers=[_answer_or_problem(search) for search in asked.searches])


@api.post("/search/stream")
@operation(Operation(HitOut, body=StreamRequest, streams=True))
def stream(asked: StreamRequest) -> Iterator[HitOut]:
    """The hits of one search as lines of JSON, best first, each complete: up to 10,000 of them."""
    query = asked.to_query(services().decode, services().config.search.limit)
    if asked.cursor is not None or query.offset + query.limit > DEEPEST:
        raise InvalidInput(f"a stream has no pages: give limit and offset, together at most {DEEPEST:,}, and no cursor")
    return map(HitOut.of, services().search(query).hits)


@api.get(f"/items/<int(max={LARGEST_ID}):item_id>/similar")
@operation(Operation(SearchResponse, query=Page))
def similar(asked: Page, item_id: int) -> SearchResponse:
    """What is most like an item, without itself: pictures, words, or moments of films."""
    query = replace(asked.query((Term(item=item_id),), services().config.search.limit), without=(item_id,))
    return SearchResponse.of(*search_page(services(), query, asked.cursor), asked.explain)


@api.post("/encode")
@operation(Operation(EncodeOut, body=EncodeRequest))
def encode(asked: EncodeRequest) -> EncodeOut:
    """Words, pictures and items as vectors, to compare elsewhere or to search with later."""
    _check_pictures(asked.inputs)
    services().freshness.ensure()
    services().encode_ahead([one.text for one in asked.inputs if one.text])
    rows = services().searcher.encode([one.to_term(services().decode) for one in asked.inputs])
    return EncodeOut(vectors=rows.tolist(), dim=rows.shape[1], space=services().searcher.space)


def _query(asked: SearchRequest | SearchForm) -> Query:
    return asked.to_query(services().decode, services().config.search.limit)


def _answer(asked: SearchRequest | SearchForm) -> SearchResponse:
    return SearchResponse.of(*search_page(services(), _query(asked), asked.cursor), asked.explain)


def _answer_or_problem(asked: SearchRequest) -> SearchResponse | Problem:
    try:
        return _answer(asked)
    except RebusError as error:
        return Problem.of(*explain_error(error))


def _check_pictures(terms: Sequence[Encodable]) -> None:
    if sum(term.image is not None for term in terms) > MAX_PICTURES:
        raise InvalidInput(f"at most {MAX_PICTURES} of all are pictures: send the others in a request of their own")
