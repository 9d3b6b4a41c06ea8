"""The picture of an indexed item, or a part of it: from the original where that is quick to decode."""

from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from engine.errors import MediaError, NotFound
from engine.media import kind_of, read_media
from engine.media.files import file_inside, read_file
from engine.media.pictures import decode_picture
from engine.thumbnails import ensure_thumbnail, unchanged

if TYPE_CHECKING:
    from engine.config import Config
    from engine.shown import ItemView

_QUICK = ("pictures", "raw", "drawings")  # readers
Region = tuple[float, float, float, float]


def region_of(view: "ItemView", region: Region, config: "Config", at_least: int) -> Image.Image:
    """A part of an item's picture. region: left, top, width and height as shares of it.

    at_least: pixels of the part's shorter side that are wanted; there are fewer where only a thumbnail is at hand,
    as of a film or a page. Raises NotFound when the item has no picture, MediaError when it cannot be decoded.
    """
    x, y, w, h = region
    image = picture_of(view, config, round(at_least / max(min(w, h), 0.01)))
    left, top = min(int(x * image.width), image.width - 1), min(int(y * image.height), image.height - 1)
    right, bottom = round((x + w) * image.width), round((y + h) * image.height)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def picture_of(view: "ItemView", config: "Config", at_least: int) -> Image.Image:
    """An item's picture as RGB pixels, upright: its shorter side has `at_least` pixels, or all that there are.

    Further pages and frames, films and documents are shown by their thumbnails. Raises as `region_of`.
    """
    if has_large(view.file.name) and not view.item.position:
        try:
            path = file_inside(Path(view.root), view.file)
            if unchanged(path, view.item, config.media.max_bytes):  # no other was ever decoded within limits
                return _original(path, config, at_least)
        except (MediaError, NotFound, OSError):  # it went, or is beyond the limits: its thumbnail may still be there
            pass
    with Image.open(ensure_thumbnail(view, config), formats=("JPEG",)) as image:
        return image.convert("RGB")


def has_large(name: str) -> bool:
    """Whether files of this name are decoded in a moment."""
    kind = kind_of(name)
    return kind is not None and kind[1] in _QUICK


def _original(path: Path, config: "Config", at_least: int) -> Image.Image:
    kind = kind_of(path.name)
    if kind is not None and kind[1] == "pictures":  # its first frame alone
        return decode_picture(read_file(path, config.media.max_bytes), config.media.max_pixels, at_least).image
    return read_media(path, config.media, at_least).frames[0].image
