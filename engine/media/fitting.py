"""A picture as an encoder's input: uint8 pixels of a fixed size, without torch: decoder processes make it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from engine.types import U8

_LONGEST_SHAPE = 16  # to 1


@dataclass(frozen=True, slots=True)
class ImageInput:
    """The geometry of an encoder's input, as open_clip's PreprocessCfg has it.

    resize: shortest (then the middle is cut out), longest (then the rest is filled) or squash.
    """

    height: int
    width: int
    resize: Literal["shortest", "longest", "squash"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    fill: int = 0

    @property
    def shorter_side(self) -> int:
        """Pixels that the shorter side of a decoded picture should have at least."""
        return max(self.height, self.width)

    def fit(self, image: Image.Image) -> U8:
        """(height, width, 3) of an RGB picture."""
        image = _within_shape(image)
        how = Image.Resampling[self.interpolation.upper()]
        if self.resize == "squash":
            image = image.resize((self.width, self.height), how)
        else:
            image = self._onto(image, how)
        return np.asarray(image, np.uint8)

    def _onto(self, image: Image.Image, how: Image.Resampling) -> Image.Image:
        """Scaled with its proportions kept, then cut or filled about its middle; rounded as open_clip does."""
        ratios = self.width / image.width, self.height / image.height
        scale = max(ratios) if self.resize == "shortest" else min(ratios)
        to_whole = int if self.resize == "shortest" and self.width == self.height else round
        size = (max(1, to_whole(image.width * scale + 1e-9)), max(1, to_whole(image.height * scale + 1e-9)))
        image = image.resize(size, how) if size != image.size else image
        if self.resize == "shortest":
            left, top = round((size[0] - self.width) / 2), round((size[1] - self.height) / 2)
            return image.crop((left, top, left + self.width, top + self.height))
        canvas = Image.new("RGB", (self.width, self.height), (self.fill,) * 3)
        canvas.paste(image, ((self.width - size[0]) // 2, (self.height - size[1]) // 2))
        return canvas


def _within_shape(image: Image.Image) -> Image.Image:
    """The middle of a very long or tall picture: scaling its short side up would need memory without bound."""
    longest = _LONGEST_SHAPE * min(image.size)
    if max(image.size) <= longest:
        return image
    width, height = image.size
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, min(width, left + longest), min(height, top + longest)))
