"""Originals and thumbnails, by item id only: no address ever names a path."""

import io
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response, request, send_file

from engine.errors import NotFound
from engine.media.files import file_inside, read_file
from engine.thumbnails import ensure_thumbnail
from webui.schemas import LARGEST_ID
from webui.services import services

files = Blueprint("files", __name__)

# Only these are ever named to a browser: a file called .html or .svg could carry a script.
MIME_TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".jpe": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".gif": "image/gif", ".tif": "image/tiff", ".tiff": "image/tiff", ".bmp": "image/bmp",
}  # fmt: skip
_DAY_S = 86_400


@files.get(f"/media/<int(max={LARGEST_ID}):item_id>")
def media(item_id: int) -> Response:
    """The original file of a picture, or of the picture that a caption describes."""
    _, view = services().item_and_picture(item_id)
    mimetype = MIME_TYPES.get(view.file.suffix.lower())
    if mimetype is None:
        raise NotFound(f"item {item_id} is not a picture of a kind that can be shown")
    path = file_inside(Path(view.root), view.file)
    name = "".join(c if c.isprintable() else "_" for c in PurePosixPath(view.item.path).name)  # it goes into a header
    original = path if path.is_file() else io.BytesIO(read_file(path, services().config.media.max_bytes))  # of a tar
    response = send_file(original, mimetype, download_name=name, conditional=True, max_age=0)
    response.headers["Cache-Control"] = "private, no-cache"
    return response


@files.get(f"/thumbs/<int(max={LARGEST_ID}):item_id>")
def thumbnail(item_id: int) -> Response:
    """The thumbnail of a picture, or of the picture that a caption describes."""
    _, view = services().item_and_picture(item_id)
    response = Response(mimetype="image/jpeg")
    if view.item.content_hash:
        response.set_etag(view.item.content_hash)
    response.headers["Cache-Control"] = f"private, max-age={_DAY_S}"
    if request.if_none_match.contains(view.item.content_hash or ""):
        response.status_code = 304
        return response
    response.set_data(ensure_thumbnail(view, services().config).read_bytes())
    return response
