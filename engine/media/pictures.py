"""Pictures that Pillow reads, with limits: pixels are counted from the header before anything is decoded."""

import io
import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from engine.config import MediaSettings
from engine.errors import InvalidInput, MediaError, TooLarge
from engine.media.contract import Frame, Media
from engine.media.files import read_file
from engine.types import Modality

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
# Pillow's own guard warns and then raises at limits of its own; ours is the setting, checked in `_open`.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata is no failure


def read_picture(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """A picture file. JPEGs are decoded at a reduced scale whose shorter side is `at_least` pixels or more."""
    data = read_file(path, settings.max_bytes)
    image, size = _decode(io.BytesIO(data), settings.max_pixels, at_least)
    return Media(Modality.IMAGE, (Frame(image, *size),))


def decode_upload(data: bytes, max_bytes: int, max_pixels: int, at_least: int) -> Image.Image:
    """Decode an uploaded picture to RGB, upright. Raises InvalidInput or TooLarge."""
    if len(data) > max_bytes:
        raise TooLarge(f"the picture has {len(data):,} bytes, the limit is {max_bytes:,}: send a smaller one")
    try:
        return _decode(io.BytesIO(data), max_pixels, at_least)[0]
    except MediaError as error:
        kind = TooLarge if "over the limit" in error.reason else InvalidInput
        raise kind(f"the picture cannot be used: {error.reason}") from None


def _decode(file: BinaryIO, max_pixels: int, at_least: int) -> tuple[Image.Image, tuple[int, int]]:
    """RGB pixels, upright, and the upright size before any reduction."""
    try:
        image: Image.Image = Image.open(file, formats=FORMATS)
        check_pixels(image.size, max_pixels)
        width, height = image.size
        # Pillow counts a TIFF's pixels upright as soon as it opens it, those of other formats as they lie.
        sideways = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        image.draft("RGB", (at_least, at_least))
        pixels = rgb(ImageOps.exif_transpose(image))
        return pixels, (height, width) if sideways else (width, height)
    except MediaError:
        raise
    except UnidentifiedImageError:
        hint = "check that the name's ending tells the truth"
        raise MediaError("decode", f"not a picture in a known format ({', '.join(FORMATS)})", hint) from None
    except MemoryError:
        raise MediaError("decode", "not enough memory to decode it", "lower media.max_pixels") from None
    except Exception as error:  # decoders raise nearly anything on damaged data; none of it may stop a run
        reason = f"damaged or incomplete: {error}" if str(error) else "damaged or incomplete"
        raise MediaError("decode", reason, "copy it again from its source") from None


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raise MediaError when a picture of this size may not be decoded."""
    width, height = size
    if width * height > max_pixels:
        megapixels = f"{width * height / 1e6:,.0f} megapixels"
        reason = f"{width} x {height} is {megapixels}, over the limit of {max_pixels / 1e6:,.0f}"
        raise MediaError("decode", reason, "raise media.max_pixels, or reduce the picture")


def rgb(image: Image.Image) -> Image.Image:
    """RGB on white where the picture was transparent; 16-bit greys scaled to 8."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def thumbnail(image: Image.Image, pixels: int) -> bytes:
    """A JPEG whose longer side is at most `pixels`, without metadata."""
    small = image.copy()
    small.thumbnail((pixels, pixels), Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=82)
    return out.getvalue()
