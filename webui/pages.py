"""The pages, rendered here and complete without JavaScript: search, an item, the library's state."""

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from flask import Blueprint, render_template, request

from engine import status as library_status
from engine.errors import InvalidInput
from webui.query_box import quoted
from webui.schemas import LARGEST_ID
from webui.search_page import SearchPage, from_address, from_upload, neighbours
from webui.services import services

pages = Blueprint("pages", __name__)

SIMILAR_STRIP = 12
FAILURES_A_PAGE = 50
_SHAPES = (56, 67, 75, 87, 100, 117, 133, 150, 178, 200, 240)  # width per height in hundredths, as rebus.css has them
_SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".bmp")


@pages.get("/")
def search() -> tuple[str, int]:
    """The search page: its address is the search."""
    return _render(from_address(request.args))


@pages.post("/")
def search_by_picture() -> tuple[str, int]:
    """A picture uploaded without JavaScript."""
    upload = request.files.get("picture")
    return _render(from_upload(upload.read() if upload else b""))


@pages.get(f"/items/<int(max={LARGEST_ID}):item_id>")
def item(item_id: int) -> str:
    """One picture with its captions, its words and pictures like it. A caption's address shows its picture."""
    _, view = services().item_and_picture(item_id)
    words, similar = neighbours(view.item.id, SIMILAR_STRIP)
    path = PurePosixPath(view.item.path)
    return render_template(
        "pages/item.html", page=SearchPage(), view=view, item=view.item, name=path.name,
        folder=None if path.parent == PurePosixPath() else path.parent.as_posix(),
        captions=services().catalog.captions_of(view.item.id), words=words, similar=similar,
        large="files.media" if path.suffix.lower() in _SHOWN_BY_BROWSERS else "files.thumbnail",
    )  # fmt: skip


@pages.get("/status")
def status() -> str:
    """Counts, version, failures and jobs of the library, without paths of this machine."""
    offset = request.args.get("offset", 0, type=int)
    if not 0 <= offset <= 10**9:
        raise InvalidInput("offset must be between 0 and 1,000,000,000")
    catalog = services().catalog
    facts = library_status.summarize(catalog)
    failed = library_status.failures(catalog, FAILURES_A_PAGE, offset)
    places = sorted((facts["home"], *facts["roots"]), key=len, reverse=True)
    for job in facts["jobs"]:
        job["message"] = _without_places(job["message"], places)
    for failure in failed:
        failure["reason"] = _without_places(failure["reason"], places)
        failure["root"] = Path(failure["root"]).name
    facts["roots"] = [Path(root).name or root for root in facts["roots"]]
    return render_template(
        "pages/status.html", page=SearchPage(), facts=facts, failures=failed, offset=offset, step=FAILURES_A_PAGE
    )


@pages.app_context_processor
def _in_every_template() -> dict[str, Any]:
    return {"quoted": quoted}


@pages.app_template_filter("moment")
def moment(seconds: float | None) -> str:
    """A UTC time as people read it."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@pages.app_template_filter("bytes")
def readable_bytes(count: int) -> str:
    """A size as people read it."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@pages.app_template_filter("shape")
def shape(width_height: tuple[int | None, int | None]) -> str:
    """The class of a tile's proportions (there are no inline styles: see the policy); the nearest of rebus.css."""
    width, height = width_height
    ratio = 100 * (width or 1) / (height or 1)
    return f"r{min(_SHAPES, key=lambda known: abs(known - ratio))}"


def _render(page: SearchPage) -> tuple[str, int]:
    return render_template("pages/search.html", page=page), page.status


def _without_places(text: str, places: list[str]) -> str:
    for place in places:
        text = text.replace(place, Path(place).name)
    return text
