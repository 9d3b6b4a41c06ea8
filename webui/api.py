"""/api/v1: search, items and the library's state as JSON; and the two probes, /healthz and /readyz."""

import json

from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnsupportedMediaType

from engine.errors import InvalidInput, NotReady, RebusError
from engine.types import Query
from webui.library import public_status
from webui.schemas import LARGEST_ID, FactsOut, ItemOut, SearchForm, SearchRequest, SearchResponse, explain
from webui.services import log, services

api = Blueprint("api", __name__, url_prefix="/api/v1")
probes = Blueprint("probes", __name__)

_REPEATED = ("item", "keyword")


@api.post("/search")
def search_by_post() -> Response:
    """Search with a JSON body, or with a picture uploaded as multipart/form-data."""
    if request.mimetype == "multipart/form-data":
        return _answer(_form_query(request.form, with_upload=True))
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("send application/json, or multipart/form-data with a file named image")
    limit = services().config.search.limit
    try:
        wanted = SearchRequest.model_validate_json(request.get_data(cache=False), strict=True)
    except ValidationError as error:
        raise explain(error) from None
    return _answer(wanted.to_query(services().decode, limit))


@api.get("/search")
def search_by_get() -> Response:
    """Search with the address alone: q, item, modality, filters such as path and taken, limit, offset, exact, fold."""
    return _answer(_form_query(request.args, with_upload=False))


@api.get(f"/items/<int(max={LARGEST_ID}):item_id>")
def item(item_id: int) -> Response:
    """One item with its captions and facts."""
    view, picture = services().item_and_picture(item_id)
    catalog, shown = services().catalog, picture.item.id
    facts = FactsOut.of(*catalog.facts_of(shown))
    return _json(ItemOut.of(view, picture, services().file_of(picture), catalog.captions_of(shown), facts))


@api.get("/status")
def status() -> Response:
    """What the library holds and what is being done to it, without paths of this machine."""
    return Response(json.dumps(public_status()), mimetype="application/json")


@probes.get("/healthz")
def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@probes.get("/readyz")
def readyz() -> dict[str, str | int]:
    """A version is published and loaded; otherwise 503."""
    services().freshness.ensure()
    try:
        return {"status": "ready", "index_version": services().searcher.version.id}
    except NotReady:
        raise
    except RebusError:
        log.exception("the published version cannot be loaded")
        raise NotReady("the published version cannot be loaded: see the server's log") from None


def _form_query(fields: "MultiDict[str, str]", *, with_upload: bool) -> Query:
    values: dict[str, str | list[str]] = {}
    for key, given in fields.lists():
        if key not in _REPEATED and len(given) > 1:
            raise InvalidInput(f"{key} is given {len(given)} times: keep one")
        values[key] = given if key in _REPEATED else given[0]
    try:
        form = SearchForm.model_validate(values)
    except ValidationError as error:
        raise explain(error) from None
    image = None
    if with_upload:
        image = services().decode(_uploaded())
    return form.to_query(image, services().config.search.limit)


def _uploaded() -> bytes:
    """The bytes of the one file of a multipart body, which must be named image."""
    files = request.files.getlist("image")
    if len(files) != 1 or len(list(request.files.items(multi=True))) != 1:
        raise InvalidInput("send exactly one file, in the field named image")
    data: bytes = files[0].read()
    return data


def _answer(query: Query) -> Response:
    return _json(SearchResponse.of(services().search(query), query))


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), mimetype="application/json")
