"""/api/v1 as far as it tells: items, captions, facets, the library's state; and the probes, /healthz and /readyz."""

from itertools import islice

import sqlalchemy as sa
from flask import Blueprint
from pydantic import Field

from engine.catalog import Caption, EncoderRow, IndexVersion, Item, matches
from engine.errors import InvalidInput, NotReady, RebusError
from engine.facets import facets, sizes
from engine.types import Modality
from webui.library import public_status, public_version
from webui.operations import Operation, operation
from webui.schemas import LARGEST_ID, CaptionOut, HitOut, ItemOut, Shape
from webui.services import log, services
from webui.state_shapes import (
    CaptionsOut,
    CaptionsRequest,
    FacetOut,
    FacetsOut,
    FacetsRequest,
    ItemsOut,
    ItemsRequest,
    JobOut,
    JobsOut,
    StatsOut,
    StatusOut,
    VersionOut,
    VersionsOut,
)

library_api = Blueprint("library_api", __name__, url_prefix="/api/v1")
probes = Blueprint("probes", __name__)

_VALUES = 100  # of one facet
_ITEM = f"/items/<int(max={LARGEST_ID}):item_id>"


class Alive(Shape):
    """The process lives."""

    status: str = Field(description="ok or ready.")


class Ready(Alive):
    """A version is loaded, and answers."""

    index_version: int = Field(description="The number of the version that answers.")


@library_api.get("/items")
@operation(Operation(ItemsOut, query=ItemsRequest))
def items(asked: ItemsRequest) -> ItemsOut:
    """The present items of a kind that the filters keep, the newest first."""
    where, modality = asked.where(), Modality(asked.modality)
    services().check(where)
    query = sa.select(Item.id).where(Item.modality == modality, Item.removed_at.is_(None), *matches(where, modality))
    query = query.where(Item.id < (_number(asked.cursor) if asked.cursor else LARGEST_ID)).order_by(Item.id.desc())
    near = None if where.near is None else set(services().catalog.ids_matching(where, modality))
    with services().catalog.session() as session:
        found = session.scalars(query if near is not None else query.limit(asked.limit + 1))
        ids = list(islice((i for i in found if near is None or i in near), asked.limit + 1))
    shown = [HitOut.of_view(view) for view in services().catalog.items(ids[: asked.limit])]
    return ItemsOut(items=shown, next=str(ids[asked.limit - 1]) if len(ids) > asked.limit else None)


@library_api.get(_ITEM)
@operation(Operation(ItemOut))
def item(item_id: int) -> ItemOut:
    """One item with its captions and facts."""
    view, picture = services().item_and_picture(item_id)
    catalog, shown = services().catalog, picture.item.id
    facts = services().facts_of(shown)
    return ItemOut.of(view, picture, services().file_of(picture), catalog.captions_of(shown), facts)


@library_api.get(f"{_ITEM}/captions")
@operation(Operation(CaptionsOut, query=CaptionsRequest))
def captions(asked: CaptionsRequest, item_id: int) -> CaptionsOut:
    """The words that describe an item, or that stand in it."""
    _, view = services().item_and_picture(item_id)
    query = sa.select(Caption).join(Item, Item.id == Caption.id).where(Item.removed_at.is_(None))
    query = query.where(Caption.owner_id == view.item.id, Caption.id > (_number(asked.cursor) if asked.cursor else 0))
    with services().catalog.session() as session:
        rows = list(session.scalars(query.order_by(Caption.id).limit(asked.limit + 1)))
    following = str(rows[asked.limit - 1].id) if len(rows) > asked.limit else None
    return CaptionsOut(captions=[CaptionOut.of(row) for row in rows[: asked.limit]], next=following)


@library_api.get("/facets")
@operation(Operation(FacetsOut, query=FacetsRequest))
def facets_of(asked: FacetsRequest) -> FacetsOut:
    """How many items the filters keep, by kind, library folder, folder, year and camera."""
    where = asked.where()
    services().check(where)
    found = facets(services().catalog, where, Modality(asked.modality))
    return FacetsOut(
        total=found.total,
        modalities=found.modalities,
        root=_facet(found.roots),
        folder=_facet(found.folders),
        taken=_facet(found.years),
        camera=_facet(found.cameras),
    )


@library_api.get("/stats")
@operation(Operation(StatsOut))
def stats() -> StatsOut:
    """Counts and sizes of the library."""
    counts, (taken, languages) = services().status.counts(), sizes(services().catalog)
    disk = services().status.disk_bytes()
    return StatsOut(
        items=counts["items"], files=counts["files"], media_bytes=taken, captions=languages, disk_bytes=disk
    )


@library_api.get("/jobs")
@operation(Operation(JobsOut))
def jobs() -> JobsOut:
    """The last runs of indexing, training and building, the newest first."""
    return JobsOut(jobs=[JobOut.model_validate(job) for job in public_status()["jobs"]])


@library_api.get("/versions")
@operation(Operation(VersionsOut))
def versions() -> VersionsOut:
    """The published versions of the index, the newest first."""
    query = sa.select(IndexVersion, EncoderRow).join(EncoderRow, EncoderRow.id == IndexVersion.encoder_id)
    with services().catalog.session() as session:
        rows = list(session.execute(query.order_by(IndexVersion.id.desc())))
    served = rows[0][0].id if rows else None
    return VersionsOut(
        versions=[VersionOut(**public_version(row, encoder), served=row.id == served) for row, encoder in rows]
    )


@library_api.get("/status")
@operation(Operation(StatusOut))
def status() -> StatusOut:
    """What the library holds and what is being done to it, without paths of this machine."""
    return StatusOut.model_validate(public_status())


@probes.get("/healthz")
@operation(Operation(Alive))
def healthz() -> Alive:
    """The process lives."""
    return Alive(status="ok")


@probes.get("/readyz")
@operation(Operation(Ready))
def readyz() -> Ready:
    """A version is published and loaded, and the encoder too where it is loaded ahead; otherwise 503."""
    services().freshness.ensure()
    if services().warming:
        raise NotReady("the encoder is being loaded: ask again in some seconds")
    try:
        version = services().searcher.version
        if (refusal := services().searcher.refusal(version)) is not None:
            raise refusal
        return Ready(status="ready", index_version=version.id)
    except NotReady:
        raise
    except RebusError:
        log.exception("the published version cannot be loaded")
        raise NotReady("the published version cannot be loaded: see the server's log") from None


def _facet(counts: dict[str, int]) -> list[FacetOut]:
    return [FacetOut(value=value, count=count) for value, count in list(counts.items())[:_VALUES]]


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and 0 < int(cursor) <= LARGEST_ID):
        raise InvalidInput("the cursor cannot be read: send the `next` of an answer as it was")
    return int(cursor)
