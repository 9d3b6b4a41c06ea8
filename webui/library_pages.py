"""The pages about the library: what it holds and how it lies, what is being done, what was learned and measured."""

from functools import lru_cache
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, send_file, session, url_for
from werkzeug.wrappers import Response as Answer

from engine import marks
from engine.catalog import HeadRow
from engine.errors import Busy, InvalidInput, NotFound
from engine.facets import sizes
from engine.status import head_facts
from engine.turns import choose
from webui.library import public_failures, public_status, public_versions, report_file
from webui.maps import HEIGHT, WIDTH
from webui.schemas import LARGEST_ID
from webui.search_page import SearchPage
from webui.services import services

library_pages = Blueprint("library_pages", __name__)

FAILURES_A_PAGE = 50
_DRAWN_S = 2  # that a map of 5,000 pictures takes
# A report is a file that needs nothing else: its styles stand in it, and nothing in it may run or be fetched.
_REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


@library_pages.get("/library")
def library() -> str:
    """What the library holds, and a map of its pictures."""
    catalog = services().catalog
    version = catalog.current_version()
    services().freshness.ensure()
    drawn = services().maps.newest() if version is not None else None
    taken, languages = sizes(catalog)
    return _page(
        "library", facts=public_status(), sizes=taken, languages=languages, map=drawn, published=version is not None,
        map_size=(WIDTH, HEIGHT),
    )  # fmt: skip


@library_pages.get("/library/map.bin")
def dots() -> Answer:
    """Where each picture lies on the map, for the script that makes its dots links."""
    drawn = services().maps.newest()
    if drawn is None:
        raise Busy("the map is being drawn: ask again in a moment", _DRAWN_S)
    response = Response(drawn.packed, mimetype="application/octet-stream")
    response.add_etag()
    return response.make_conditional(request)


@library_pages.get("/status")
def status() -> str:
    """Jobs, versions and failures of the library, without paths of this machine."""
    offset = request.args.get("offset", 0, type=int)
    if not 0 <= offset <= 10**9:
        raise InvalidInput("offset must be between 0 and 1,000,000,000")
    failures = public_failures(FAILURES_A_PAGE, offset)
    return _page(
        "status", facts=public_status(), versions=public_versions(), offset=offset, step=FAILURES_A_PAGE,
        failures=failures,
    )  # fmt: skip


@library_pages.post("/versions")
def use_version() -> Answer:
    """Serve another version that is kept."""
    number = request.form.get("version", type=int)
    if number is None or not 0 < number <= LARGEST_ID:
        raise InvalidInput("version: the number of one that is kept")
    choose(services().catalog, number)
    services().freshness.expire()
    return redirect(url_for("library_pages.status", _anchor="versions"), 303)


@library_pages.get("/training")
def training() -> str:
    """The trained heads beside each other, and their curves."""
    heads = head_facts(services().catalog)
    learned = marks.to_learn(services().catalog)
    return _page("training", heads=heads, learned=learned, drawn=any(head.get("curve") for head in heads))


@library_pages.get("/training/curves.svg")
def curves() -> Response:
    """Held-out recall of all heads by epoch, in one drawing."""
    heads = [head for head in head_facts(services().catalog) if head.get("curve")]
    if not heads:
        raise NotFound("no head of this library was trained by epochs")
    response = Response(_curves(services().catalog, tuple(head["id"] for head in heads)), mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@library_pages.get("/evaluation")
def evaluation() -> str:
    """Where the last report of `rebus eval` is, or how to have one made."""
    file = report_file()
    return _page("evaluation", measured_at=file.stat().st_mtime if file else None)


@library_pages.get("/evaluation/report")
def report() -> Response:
    """The last report of `rebus eval --report`, as it was written."""
    file = report_file()
    if file is None:
        raise NotFound("nothing was measured yet: `rebus eval --report FILE.html` does")
    response = send_file(file, mimetype="text/html", conditional=True, max_age=0)
    response.headers["Content-Security-Policy"] = _REPORT_POLICY
    return response


@lru_cache(maxsize=4)
def _curves(catalog: Any, numbers: tuple[int, ...]) -> bytes:
    """The drawing of these heads, whose curves never change."""
    from engine.curves import draw_curves  # matplotlib takes a moment

    with catalog.session() as rows:
        heads = [rows.get_one(HeadRow, number) for number in numbers]
        return draw_curves({f"{head.id} {head.method}": head.report["curve"] for head in heads}, {})


def _page(name: str, **facts: Any) -> str:
    may_leave = bool(session.get("in"))
    return render_template(f"library/{name}.html", page=SearchPage(), here=name, may_leave=may_leave, **facts)
