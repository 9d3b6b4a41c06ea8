"""Originals and thumbnails, by item id only: no address ever names a path."""

import io
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response, request, send_file

from engine.errors import NotFound
from engine.media import modality_of
from engine.media.files import file_inside, read_file
from engine.thumbnails import ensure_thumbnail
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
_DAY_S = 86_400


@files.get(f"/media/<int(max={LARGEST_ID}):item_id>")
def media(item_id: int) -> Response:
    """The original file of an item, or of the picture that a caption describes, to be shown, played or saved."""
    _, view = services().item_and_picture(item_id)
    if modality_of(view.file.name) is None:
        raise NotFound(f"item {item_id} is not of a kind that can be shown")
    mimetype = MIME_TYPES.get(view.file.suffix.lower())
    path = file_inside(Path(view.root), view.file)
    name = "".join(c if c.isprintable() else "_" for c in PurePosixPath(view.item.path).name)  # it goes into a header
    response = send_file(
        path if path.is_file() else io.BytesIO(read_file(path, services().config.media.max_bytes)),  # of a tar
        mimetype or _SAVED_AS,
        as_attachment=mimetype is None,
        download_name=name,
        conditional=True,
        max_age=0,
    )
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
