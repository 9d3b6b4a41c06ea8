"""The pages, rendered here and complete without JavaScript: search, its filters, an item."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from engine import marks
from engine.errors import InvalidInput
from engine.likeness import Likeness
from engine.status import job_state
from engine.words import duration, readable_bytes
from webui.chips import WEIGHTS, likes_in, weight_name
from webui.facets_page import facet_lists, facet_titles
from webui.item_page import item_page
from webui.library import working
from webui.operations import reading
from webui.placeholders import colours_of
from webui.query_box import filter_for, quoted
from webui.schemas import LARGEST_ID
from webui.search_page import SearchPage, asked_for, page_of
from webui.services import services
from webui.sharing import as_command, as_curl

pages = Blueprint("pages", __name__)
pages.add_app_template_filter(readable_bytes, "bytes")
pages.add_app_template_filter(duration)
pages.add_app_template_filter(colours_of, "colours")

_SHAPES = (56, 67, 75, 87, 100, 117, 133, 150, 178, 200, 240)  # width per height in hundredths, as rebus.css has them
_SAID = ("good", "bad", "forget")
_KINDS = {"image": "pictures", "text": "captions", "video": "moments of film", "audio": "sounds"}


@pages.get("/")
def search() -> tuple[str, int]:
    """The search page: its address is the search."""
    return _render(page_of(request.args))


@pages.post("/")
@reading
def search_by_picture() -> tuple[str, int]:
    """A search with pictures of the person's own, which no address can hold."""
    if not request.files.getlist("picture"):
        raise InvalidInput("no picture arrived: choose one first")
    return _render(page_of(request.form, [upload.read() for upload in request.files.getlist("picture")]))


@pages.get("/facets")
def facets() -> str:
    """The filters of a search to choose from, with counts."""
    page = asked_for(request.args)
    return render_template("pages/facets.html", page=page, facets=facet_lists(page))


@pages.get("/picked")
def picked() -> Response:
    """From selected results to a search by them: alone, or (`add`) beside what was searched for (`was`)."""
    was = MultiDict(parse_qsl(request.args.get("was", "")))
    page = asked_for(was)
    likes = likes_in(request.args.getlist("like"), [])
    kept = [chip.likeness for chip in page.likes] if "add" in request.args else []
    page = page if "add" in request.args else SearchPage(modality=page.modality)
    return redirect(page.address(likes=list({one.item: one for one in (*kept, *likes)}.values())))


@pages.post("/marks")
def mark() -> Response:
    """Say that selected results are good or bad answers to what was searched for, or forget what was said of all."""
    page = asked_for(MultiDict(parse_qsl(request.form.get("was", ""))))
    if not page.terms:
        raise InvalidInput("a mark belongs to a search: search for something first")
    services().freshness.ensure()
    known = services().searcher.known_as(page.terms)
    said = request.form.get("say", "")
    if said not in _SAID:
        raise InvalidInput(f"say: one of {', '.join(_SAID)}")
    ids = [Likeness.read(text).item for text in request.form.getlist("like")]
    if said == "forget":
        marks.forget_all(services().catalog, known)
    elif ids:
        marks.put(services().catalog, known, ids, said == "good")
    return redirect(page.address(), 303)


@pages.get(f"/items/<int(max={LARGEST_ID}):item_id>")
def item(item_id: int) -> str:
    """One item with its captions, its words and what is like it. A caption's address shows what it describes."""
    return render_template("pages/item.html", page=SearchPage(), shown=item_page(item_id), wanted=item_id)


@pages.app_context_processor
def _in_every_template() -> dict[str, Any]:
    return {
        "quoted": quoted, "filter_for": filter_for, "working": working, "job_state": job_state, "kinds": _KINDS,
        "weights": WEIGHTS, "weight_name": weight_name, "facet_titles": facet_titles, "as_curl": as_curl,
        "as_command": as_command, "may_change": not services().config.serve.read_only,
    }  # fmt: skip


@pages.app_template_filter("moment")
def moment(seconds: float | None) -> str:
    """A UTC time as people read it."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@pages.app_template_filter("shape")
def shape(width_height: tuple[int | None, int | None]) -> str:
    """The class of a tile's proportions (there are no inline styles: see the policy); the nearest of rebus.css."""
    width, height = width_height
    ratio = 100 * (width or 1) / (height or 1)
    return f"r{min(_SHAPES, key=lambda known: abs(known - ratio))}"


def _render(page: SearchPage) -> tuple[str, int]:
    return render_template("pages/search.html", page=page), page.status
