"""Pictures from files and uploads, decoded with limits. A file that cannot be used raises MediaError, typed.

Files are hostile: only regular files are opened, links are never followed, and pixels are counted from the
header before anything is decoded.
"""

import errno
import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import xxhash
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from engine.config import MediaSettings
from engine.errors import InvalidInput, MediaError, NotFound, TooLarge

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"))
# Pillow's own guard warns and then raises at limits of its own; ours is the setting, checked in `_open`.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata is no failure


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded file: RGB pixels, upright; the file's own upright size; the hash of its bytes (xxh3, hex)."""

    image: Image.Image
    width: int
    height: int
    content_hash: str


def read_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file. Raises MediaError for a link, a device, an unreadable, empty or too large file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise MediaError("read", _os_reason(error), "check that the file exists and may be read") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):  # open() below would refuse a folder with an error of its own
        os.close(descriptor)
        raise MediaError("read", "not a regular file", "move it out of the media folder")
    with open(descriptor, "rb") as file:
        if facts.st_size == 0:
            raise MediaError("read", "the file is empty", "copy it again from its source")
        if facts.st_size > max_bytes:
            reason = f"{facts.st_size:,} bytes, over the limit of {max_bytes:,}"
            raise MediaError("read", reason, "raise max_bytes in config.toml")
        try:
            return file.read(max_bytes)
        except OSError as error:
            raise MediaError("read", _os_reason(error), "check the disk the file is on") from None


def read_text(path: Path, max_bytes: int) -> str:
    """The text of a UTF-8 file, with or without a byte order mark. Raises MediaError, for bad bytes too."""
    try:
        return read_file(path, max_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MediaError(
            "caption", f"not UTF-8 text: {error.reason} at byte {error.start}", "save it as UTF-8"
        ) from None


def hash_file(path: Path, max_bytes: int) -> str:
    """The content hash by which moved and copied files are known again. Raises MediaError as `read_file`."""
    return hash_bytes(read_file(path, max_bytes))


def hash_bytes(data: bytes) -> str:
    """The xxh3 hash of 128 bits, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


def decode_file(path: Path, settings: MediaSettings, at_least: int) -> Picture:
    """Decode a picture file. JPEGs are decoded at a reduced scale whose shorter side is `at_least` pixels or more."""
    data = read_file(path, settings.max_bytes)
    image, size = _decode(data, settings.max_pixels, at_least)
    return Picture(image, *size, hash_bytes(data))


def decode_upload(data: bytes, max_bytes: int, max_pixels: int, at_least: int) -> Image.Image:
    """Decode an uploaded picture to RGB, upright. Raises InvalidInput or TooLarge."""
    if len(data) > max_bytes:
        raise TooLarge(f"the picture has {len(data):,} bytes, the limit is {max_bytes:,}: send a smaller one")
    try:
        return _decode(data, max_pixels, at_least)[0]
    except MediaError as error:
        kind = TooLarge if "over the limit" in error.reason else InvalidInput
        raise kind(f"the picture cannot be used: {error.reason}") from None


def _decode(data: bytes, max_pixels: int, at_least: int) -> tuple[Image.Image, tuple[int, int]]:
    """RGB pixels, upright, and the upright size before any reduction."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > max_pixels:
            megapixels = f"{width * height / 1e6:,.0f} megapixels"
            reason = f"{width} x {height} is {megapixels}, over the limit of {max_pixels / 1e6:,.0f}"
            raise MediaError("decode", reason, "raise media.max_pixels, or reduce the picture")
        # Pillow counts a TIFF's pixels upright as soon as it opens it, those of other formats as they lie.
        sideways = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        image.draft("RGB", (at_least, at_least))
        pixels = _rgb(ImageOps.exif_transpose(image))
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


def _rgb(image: Image.Image) -> Image.Image:
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
    small.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue()


def file_inside(root: Path, path: Path) -> Path:
    """`path`, when it is a regular file that lies inside `root` without passing a link. Raises NotFound."""
    try:
        inside = path.resolve(strict=True) == root.resolve(strict=True) / path.relative_to(root)
    except (OSError, RuntimeError, ValueError):  # Python before 3.13 raises RuntimeError for links in a circle
        inside = False
    if not inside or not path.is_file():
        raise NotFound("the original is no longer where it was indexed: run `rebus index` again")
    return path


def _os_reason(error: OSError) -> str:
    known = {
        errno.EACCES: "no permission to read it",
        errno.ELOOP: "it is a link",
        errno.ENOENT: "it is gone",
    }
    return known.get(error.errno or 0, error.strerror or str(error))
