"""Pillow images on their way to frames: counted, made RGB, reduced."""

import warnings

from PIL import Image, ImageFile

from engine.errors import MediaError

# Pillow's own guard warns and then raises at limits of its own; ours is the setting, checked by `check_pixels`.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # odd metadata is no failure


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


def reduced(image: Image.Image, at_least: int) -> Image.Image:
    """Averaged down by a whole number while the shorter side keeps `at_least` pixels."""
    factor = min(image.size) // at_least
    return image.reduce(factor) if factor > 1 else image
