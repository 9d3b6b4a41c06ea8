"""Thumbnails: one small JPEG for each distinct content, made once and found by its hash."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from engine.artifacts import replace_file
from engine.errors import NotFound
from engine.media import read_media
from engine.media.files import file_inside, hash_file
from engine.media.pictures import thumbnail

if TYPE_CHECKING:  # a decoder process starts without a database
    from engine.config import Config
    from engine.shown import ItemView, ShownItem


def thumbnail_file(home: Path, content_hash: str, position: int | None = None) -> Path:
    """Where the thumbnail of a content lies, or of a further frame of it, whether or not it has been made."""
    name = f"{content_hash}-{position}" if position else content_hash
    return home.joinpath("thumbs", content_hash[:2], f"{name}.jpg")


@lru_cache(maxsize=4096)
def main_colours(thumbnail: Path) -> str:
    """What a thumbnail looks like from afar: the means of 4 x 3 parts, row by row, each as `rgb` in hexadecimal.

    36 digits. A JPEG is decoded at an eighth of its size: a third of a millisecond. Raises OSError when there is none,
    or none that can be read.
    """
    with Image.open(thumbnail, formats=("JPEG",)) as image:
        image.draft("RGB", (4, 3))
        means = image.convert("RGB").resize((4, 3), Image.Resampling.BOX).tobytes()
    return "".join(f"{value >> 4:x}" for value in means)


def save_thumbnail(path: Path, jpeg: bytes) -> None:
    """Write a thumbnail; nothing is done when it exists."""
    if not path.exists():
        try:
            replace_file(path, jpeg)
        except FileNotFoundError:  # rare: the first of its folder
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, jpeg)


def ensure_thumbnail(view: "ItemView", config: "Config") -> Path:
    """The thumbnail's file, made from the original when it is missing.

    Raises NotFound when the item has no picture or its original is gone, MediaError when it cannot be decoded.
    """
    content_hash = view.item.content_hash
    if content_hash is None:
        raise NotFound(f"item {view.item.id} has no picture yet: it has not been embedded")
    path = thumbnail_file(config.home, content_hash, view.item.position)
    if not path.exists():
        original = file_inside(Path(view.root), view.file)
        if not unchanged(original, view.item, config.media.max_film_bytes):
            raise NotFound("the file changed since it was indexed: run `rebus index` again")
        pixels = config.media.thumbnail_pixels
        for frame in read_media(original, config.media, pixels).frames:
            save_thumbnail(thumbnail_file(config.home, content_hash, frame.position), thumbnail(frame.image, pixels))
        if not path.exists():
            raise NotFound(f"item {view.item.id} has no picture")
    return path


def unchanged(original: Path, item: "ShownItem", max_bytes: int) -> bool:
    """Whether a file is what was indexed: by time and size, as a scan tells; else by content, slow for a film."""
    if original.is_file():  # and no member of a tar
        facts = original.stat()
        if facts.st_mtime_ns == item.mtime_ns and item.size in (0, facts.st_size):  # a further frame has no size
            return True
    return hash_file(original, max_bytes) == item.content_hash
