"""Originals and thumbnails, by item id only: no address ever names a path."""

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response, request, send_file

from engine.errors import NotFound
from engine.heads import curve_file
from engine.media import modality_of
from engine.media.files import file_inside, read_file
from engine.media.pictures import thumbnail as smaller
from engine.regions import picture_of
from engine.shown import ItemView
from engine.thumbnails import ensure_thumbnail
from webui.originals import placeless
from webui.schemas import LARGEST_ID
from webui.services import services

files = Blueprint("files", __name__)

# Only these are ever named to a browser, which shows or plays them: a file called .html could carry a script.
MIME_TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".jpe": "image/jpeg", ".jfif": "image/jpeg", ".png": "image/png",
    ".apng": "image/png", ".webp": "image/webp", ".gif": "image/gif", ".tif": "image/tiff", ".tiff": "image/tiff",
    ".bmp": "image/bmp", ".avif": "image/avif", ".heic": "image/heic", ".heif": "image/heif", ".hif": "image/heif",
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm",
    ".mkv": "video/x-matroska", ".3gp": "video/3gpp",
    ".mp3": "audio/mpeg", ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg",
    ".m4a": "audio/mp4", ".aac": "audio/aac",
    ".txt": "text/plain; charset=utf-8", ".md": "text/plain; charset=utf-8",
}  # fmt: skip
# The other kinds of media can be saved, never shown: a PDF and a drawing may carry scripts, browsers know no raw files.
_SAVED_AS = "application/octet-stream"
_YEAR_S = 31_536_000
LARGE = 900  # pixels of the shorter side


@files.get(f"/media/<int(max={LARGEST_ID}):item_id>")
def media(item_id: int) -> Response:
    """The original file of an item, or of what a caption describes, to be shown, played or saved; by Range, parts."""
    _, view = services().item_and_picture(item_id)
    if modality_of(view.file.name) is None:
        raise NotFound(f"item {item_id} is not of a kind that can be shown")
    mimetype = MIME_TYPES.get(view.file.suffix.lower())
    path = file_inside(Path(view.root), view.file)
    name = "".join(c if c.isprintable() else "_" for c in PurePosixPath(view.item.path).name)  # it goes into a header
    limit = services().config.media.max_bytes
    if request.range is None or request.range.units != "bytes" or len(request.range.ranges) != 1:
        request.environ.pop("HTTP_RANGE", None)  # what is no range, or several, may be passed over (RFC 9110, 14.2)
    data = None if services().shows_places else placeless(path, limit)
    if data is None and not path.is_file():  # of a tar
        data = read_file(path, limit)
    response = send_file(
        path if data is None else io.BytesIO(data),
        mimetype or _SAVED_AS,
        as_attachment=mimetype is None,
        download_name=name,
        conditional=True,
        max_age=0,
    )
    response.headers["Cache-Control"] = "private, no-cache"
    if response.status_code == 206 and data is None:
        _hand_over(response, path)
    return response


@files.get(f"/thumbs/<int(max={LARGEST_ID}):item_id>")
def thumbnail(item_id: int) -> Response:
    """The thumbnail of an item, or of what a caption describes. With the `v` that it has now, it may be kept."""
    return _jpeg(item_id, "", lambda view: ensure_thumbnail(view, services().config).read_bytes())


@files.get(f"/large/<int(max={LARGEST_ID}):item_id>")
def large(item_id: int) -> Response:
    """An item's picture for the viewer, where browsers cannot draw the original: a JPEG without metadata."""
    return _jpeg(item_id, "-large", lambda view: smaller(picture_of(view, services().config, LARGE), 2 * LARGE))


def _jpeg(item_id: int, kind: str, make: Callable[[ItemView], bytes]) -> Response:
    """A picture that is made of an item: the same as long as the item's content is."""
    _, view = services().item_and_picture(item_id)
    if view.thumb is None:
        raise NotFound(f"item {item_id} has no picture")
    kept = request.args.get("v") == view.thumb
    response = Response(mimetype="image/jpeg")
    response.headers["Cache-Control"] = f"private, max-age={_YEAR_S}, immutable" if kept else "private, no-cache"
    tag = f"{view.item.content_hash}-{view.item.position or 0}{kind}"
    response.set_etag(tag)
    if request.if_none_match.contains(tag):
        response.status_code = 304
        return response
    response.set_data(make(view))
    return response


@files.get(f"/heads/<int(max={LARGEST_ID}):head_id>/curve.svg")
def curve(head_id: int) -> Response:
    """The drawn curves of a head's training, and no other file of its folder."""
    path = curve_file(services().catalog, head_id)
    if path is None:
        raise NotFound(f"head {head_id} has no curve")
    response = Response(path.read_bytes(), mimetype="image/svg+xml")
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _hand_over(response: Response, path: Path) -> None:
    """Let the server send a part of a file by itself, as it does whole ones: then no slow reader holds a thread."""
    wrap = request.environ.get("wsgi.file_wrapper")
    if wrap is None:
        return
    response.response.close()  # type: ignore[union-attr]  # werkzeug's own way to cut the part out
    file = path.open("rb")
    file.seek(response.content_range.start or 0)
    response.response = wrap(file)  # it sends Content-Length bytes from where the file stands
