"""Pillow images on their way to frames: counted, made RGB, reduced."""

import warnings

from PIL import ExifTags, Image, ImageFile

from engine.errors import MediaError

# Pillow's own guard warns and then raises at limits of its own; ours is the setting, checked by `check_pixels`.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata is no failure

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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


def orientation(image: Image.Image) -> int:
    """How the picture is turned, 1 to 8 as EXIF counts; 1, upright, too where that is damaged."""
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata is no damaged picture
        return 1
    return turned if turned in _TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """The picture as it is to be seen. Pillow's exif_transpose would write the metadata anew, and fail on damage."""
    image.load()  # this turns a TIFF, and takes the tag away
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def reduced(image: Image.Image, at_least: int) -> Image.Image:
    """Averaged down by a whole number while the shorter side keeps `at_least` pixels."""
    factor = min(image.size) // at_least
    return image.reduce(factor) if factor > 1 else image
