"""The pages, rendered here and complete without JavaScript: search, its filters, an item."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, flash, redirect, render_template, request
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from engine import marks
from engine.errors import InvalidInput
from engine.likeness import Likeness
from engine.status import job_state
from engine.words import duration, readable_bytes
from webui.access import following
from webui.chips import MAX_LIKES, WEIGHTS, likes_in, weight_name
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
_MOST_SELECTED = 10_000  # what a search finds at most
_LATER, _YEAR_S = "rebus-later", 31_536_000
_SAID = ("good", "bad", "forget")
_MODES = {"hybrid": "looks and words", "vector": "looks alone", "text": "words as written"}
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
    """From selected results to a search by them: alone, or (`add`) beside what was searched for (`was`).

    Of more than a search takes the first are searched for, and the page says so.
    """
    page = asked_for(MultiDict(parse_qsl(request.args.get("was", ""))))
    likes = likes_in(request.args.getlist("like")[:_MOST_SELECTED], [], most=_MOST_SELECTED)
    kept = [chip.likeness for chip in page.likes] if "add" in request.args else []
    page = page if "add" in request.args else SearchPage(modality=page.modality)
    chosen = list({one.item: one for one in (*kept, *likes)}.values())
    if len(chosen) > MAX_LIKES:
        flash(f"{len(likes)} were selected. A search takes {MAX_LIKES} items: these are the first.")
    return redirect(page.address(likes=chosen[:MAX_LIKES]))


@pages.post("/marks")
def mark() -> Response:
    """Say that selected results are good or bad answers to what was searched for, or forget what was said of all."""
    uploads = [upload.read() for upload in request.files.getlist("picture")]
    page = asked_for(MultiDict(parse_qsl(request.form.get("was", ""))), uploads, request.form.getlist("weight"))
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
    return Response(status=204) if uploads else redirect(page.address(), 303)  # no address holds these


@pages.get("/marks/later")
def later() -> Response:
    """Say no more of marks to learn from until the next training: this browser remembers after which it was."""
    answer = redirect(following(request.args))
    trained = request.args.get("trained", 0, type=int)
    answer.set_cookie(_LATER, str(trained), max_age=_YEAR_S, httponly=True, samesite="Lax", secure=request.is_secure)
    return answer


@pages.get(f"/items/<int(max={LARGEST_ID}):item_id>")
def item(item_id: int) -> str:
    """One item with its captions, its words and what is like it. A caption's address shows what it describes."""
    return render_template("pages/item.html", page=SearchPage(), shown=item_page(item_id), wanted=item_id)


@pages.app_context_processor
def _in_every_template() -> dict[str, Any]:
    return {
        "quoted": quoted, "filter_for": filter_for, "working": working, "job_state": job_state, "kinds": _KINDS,
        "mode_names": _MODES, "marks_to_learn": _marks_to_learn,
        "weights": WEIGHTS, "weight_name": weight_name, "facet_titles": facet_titles, "as_curl": as_curl,
        "as_command": as_command, "may_change": not services().config.serve.read_only,
    }  # fmt: skip


def _marks_to_learn() -> marks.ToLearn | None:
    """What the banner says of marks: nothing while there are too few, or after somebody said not now."""
    if services().config.serve.read_only:
        return None
    found = marks.to_learn(services().catalog)
    return found if found.enough and request.cookies.get(_LATER) != str(found.trained) else None


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
