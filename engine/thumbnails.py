"""Thumbnails: one small JPEG for each distinct content, made once and found by its hash."""

from pathlib import Path

from PIL.Image import Image

from engine.artifacts import replace_file
from engine.catalog import ItemView
from engine.config import Config
from engine.errors import NotFound
from engine.media import decode_file, file_inside, thumbnail


def thumbnail_file(home: Path, content_hash: str) -> Path:
    """Where the thumbnail of a content lies, whether or not it has been made."""
    return home / "thumbs" / content_hash[:2] / f"{content_hash}.jpg"


def save_thumbnail(home: Path, content_hash: str, image: Image, pixels: int) -> None:
    """Make the thumbnail from a decode that is already there; nothing is done when it exists."""
    path = thumbnail_file(home, content_hash)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, thumbnail(image, pixels))


def ensure_thumbnail(view: ItemView, config: Config) -> Path:
    """The thumbnail's file, made from the original when it is missing.

    Raises NotFound when the item has no picture or its original is gone, MediaError when it cannot be decoded.
    """
    if view.item.content_hash is None:
        raise NotFound(f"item {view.item.id} has no picture yet: it has not been embedded")
    path = thumbnail_file(config.home, view.item.content_hash)
    if not path.exists():
        original = file_inside(Path(view.root), view.file)
        picture = decode_file(original, config.media, config.media.thumbnail_pixels)
        if picture.content_hash != view.item.content_hash:
            raise NotFound("the file changed since it was indexed: run `rebus index` again")
        save_thumbnail(config.home, view.item.content_hash, picture.image, config.media.thumbnail_pixels)
    return path
