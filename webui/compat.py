"""/knn-service, /indices-list and /metadata, as clip-retrieval's own client and front end send them.

What they send is not always called JSON, and holds keys that mean nothing here: safety and aesthetic models are not
applied. `deduplicate` folds near-duplicates. A token, where one is needed, may stand in the path: /t/TOKEN/knn-service.
"""

from typing import Annotated, Any, Literal

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, RootModel

from engine.errors import InvalidInput
from engine.types import Modality, Mode, Query, Term
from webui.operations import Operation, operation
from webui.schemas import MAX_LIMIT, MAX_WIDTH, HitOut, ItemId, Words
from webui.search_shapes import from_base64
from webui.services import services

INDEX = "rebus"  # there is one

compat = Blueprint("compat", __name__)


class Loose(BaseModel):
    """Keys that are unknown here are passed over, as clip-retrieval does."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class KnnRequest(Loose):
    """One of text, image (base64), image_url or embedding_input; the first that is given counts."""

    text: Words | None = Field(default=None, description="Words; null or empty: the next that is given.")
    image: str | None = Field(
        default=None, description="A picture file as base64; null or empty: the next that is given."
    )
    image_url: Words | None = Field(
        default=None,
        description="The address of a picture, where serve.image_url allows it; null or empty: the next that is given.",
    )
    embedding_input: Annotated[list[float], Field(min_length=1, max_length=MAX_WIDTH)] | None = Field(
        default=None, description="A vector of the joint space, as /encode answers it; null: none."
    )
    modality: Literal["image", "text"] = Field(default="image", description="The kind of items: image or text.")
    num_images: int = Field(default=40, ge=1, le=MAX_LIMIT, description="Hits wanted, 1 to 1,000.")
    num_result_ids: int | None = Field(
        default=None, ge=1, description="Taken for clip-retrieval's sake, without effect."
    )
    indice_name: Words | None = Field(
        default=None, description="The index, of which there is one: rebus; null: that one."
    )
    deduplicate: bool = Field(default=False, description="Show one picture of each group of near-duplicates.")

    def term(self) -> Term:
        """What is looked for. Raises InvalidInput."""
        if self.text:
            return Term(text=self.text)
        if self.image:
            return Term(image=services().decode(from_base64(self.image)))
        if self.image_url:
            return Term(image=services().decode(services().fetch(self.image_url)))
        if self.embedding_input:
            return Term(vector=tuple(self.embedding_input))
        raise InvalidInput("give one of text, image, image_url or embedding_input")


class KnnHit(Loose):
    """One result."""

    id: int = Field(description="The item's id.")
    similarity: float = Field(description="Cosine, -1 to 1, higher is better.")
    caption: str | None = Field(description="Its caption; null without one.")
    url: str = Field(description="The address of the original file on this server.")
    thumbnail: str | None = Field(description="The address of its thumbnail; null without a picture.")
    path: str = Field(description="The path of its file, relative to its library folder.")


class KnnOut(RootModel[list[KnnHit]]):
    """Results, best first."""


class IndicesOut(RootModel[list[str]]):
    """The names of the indices, of which there is one."""


class MetadataRequest(Loose):
    """Items by their ids."""

    ids: list[ItemId] = Field(max_length=MAX_LIMIT, description="The ids of at most 1,000 items.")
    indice_name: Words | None = Field(
        default=None, description="The index, of which there is one: rebus; null: that one."
    )


class MetadataOut(RootModel[list[dict[str, Any]]]):
    """{"id", "metadata": {"caption", "url", ...}} of those that are there, in the order asked for."""


@compat.post("/knn-service")
@operation(Operation(KnnOut, body=KnnRequest, loose=True))
def knn(asked: KnnRequest) -> KnnOut:
    """Search as clip-retrieval's client does."""
    _check_index(asked.indice_name)
    query = Query(
        (asked.term(),), Modality(asked.modality), limit=asked.num_images, fold=asked.deduplicate, mode=Mode.VECTOR,
        marks=False,
    )  # fmt: skip
    return KnnOut([
        KnnHit(id=hit.id, similarity=hit.score or 0.0, caption=hit.caption, path=hit.path, url=_absolute(hit.url),
               thumbnail=hit.thumbnail and _absolute(hit.thumbnail))
        for hit in map(HitOut.of, services().search(query).hits)
    ])  # fmt: skip


@compat.get("/indices-list")
@operation(Operation(IndicesOut))
def indices() -> IndicesOut:
    """The indices that can be searched."""
    return IndicesOut([INDEX])


@compat.post("/metadata")
@operation(Operation(MetadataOut, body=MetadataRequest, loose=True))
def metadata(asked: MetadataRequest) -> MetadataOut:
    """What is known of items by their ids."""
    _check_index(asked.indice_name)
    views = (view for view in services().catalog.items(asked.ids) if view.item.removed_at is None)
    return MetadataOut([
        {"id": hit.id, "metadata": {"caption": hit.caption, "url": _absolute(hit.url), "path": hit.path,
                                    "width": hit.width, "height": hit.height}}
        for hit in map(HitOut.of_view, views)
    ])  # fmt: skip


@compat.after_request
def _for_its_front_end(response: Response) -> Response:
    """The front end runs on an address of its own: it may read answers when that is one of `serve.origins`."""
    origin = request.headers.get("Origin")
    if origin in services().config.serve.origins:
        response.headers["Access-Control-Allow-Origin"] = origin
    response.vary.add("Origin")
    return response


def _check_index(name: str | None) -> None:
    if name not in (None, "", INDEX):
        raise InvalidInput(f"no index is called {name!r}: this server has one, {INDEX!r}")


def _absolute(address: str) -> str:
    """An address that can be fetched from elsewhere, with the token in it where this request had it in its own."""
    return f"{request.host_url.rstrip('/')}{request.script_root}{address}"
