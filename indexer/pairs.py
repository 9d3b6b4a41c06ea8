"""Image-caption pairs for training from pixels: decoded once into a memory map, cut into augmented batches."""

import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.config import MediaSettings
from engine.decoding import Decoded, DecoderPool, Wanted, decode_all
from engine.media.fitting import ImageInput
from engine.types import U8, Modality
from indexer.objectives import Batch
from indexer.splits import Captioned

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
_MARGIN = 1.15  # how much larger than the tower's input pictures are kept, for crops to move in
_BLOCK = 64


class PixelPairs:
    """Pictures (n, side, side, 3) uint8 in a memory map that goes with this object, and their tokenized captions."""

    def __init__(self, pictures: Sequence[Captioned], pixels: U8, tokens: list[Tensor]) -> None:
        self.pictures, self.pixels, self.tokens = pictures, pixels, tokens
        self.may_mirror = torch.tensor([not any(_SIDES.search(text) for text in p.texts) for p in pictures])

    @classmethod
    def decode(
        cls,
        pictures: Sequence[Captioned],
        tokenize: Callable[[list[str]], Tensor],
        image_pixels: int,
        media: MediaSettings,
        folder: Path,
        tell: Callable[[str, int, int], None],
    ) -> "PixelPairs":
        """Decode every picture once, squeezed to a square; broken ones are left out (indexing has their reasons)."""
        side = math.ceil(image_pixels * _MARGIN / 8) * 8
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # nameless: nothing is left behind, whatever happens
            pixels = np.memmap(file, np.uint8, "w+", shape=(len(pictures), side, side, 3))
        kept: list[Captioned] = []
        paths = [Path(picture.root) / picture.path for picture in pictures]
        with DecoderPool(media, Wanted(ImageInput(side, side, "squash"), phash=False)) as pool:
            for done, (picture, decoded) in enumerate(zip(pictures, decode_all(pool, paths), strict=True), 1):
                if isinstance(decoded, Decoded) and decoded.frames:
                    pixels[len(kept)] = decoded.frames[0].pixels
                    kept.append(picture)
                if done % _BLOCK == 0 or done == len(pictures):
                    tell("decoding pictures", done, len(pictures))
        return cls(kept, pixels[: len(kept)], [tokenize(list(picture.texts)) for picture in kept])

    def __len__(self) -> int:
        return len(self.pictures)

    def images(self, rows: Sequence[int] | Tensor) -> Tensor:
        """Pictures as (n, 3, side, side) float32 in 0..1."""
        block = np.ascontiguousarray(self.pixels[np.asarray(rows)])
        return torch.from_numpy(block).permute(0, 3, 1, 2).float() / 255

    def batches(
        self, size: int, captions: int, generator: torch.Generator, pixels: int, smallest_crop: float
    ) -> Iterator[Batch]:
        """One epoch in random order: crops of `pixels`, up to `captions` captions each; a short rest is left out."""
        order = torch.randperm(len(self), generator=generator)
        for rows in torch.split(order, size):
            if len(rows) < min(size, len(self)):
                return
            images = augment(self.images(rows), pixels, self.may_mirror[rows], generator, smallest_crop)
            chosen = [self._some(int(row), captions, generator) for row in rows]
            owner = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(texts) for texts in chosen]))
            yield Batch({Modality.IMAGE: images, Modality.TEXT: torch.cat(chosen)}, owner)

    def _some(self, row: int, count: int, generator: torch.Generator) -> Tensor:
        tokens = self.tokens[row]
        return tokens[torch.randperm(len(tokens), generator=generator)[:count]]


def augment(
    images: Tensor, pixels: int, may_mirror: Tensor, generator: torch.Generator, smallest_crop: float
) -> Tensor:
    """Random crops of at least a share of the area, mirrored where the captions name no side, in other light and hue.

    images: (n, 3, h, w) in 0..1; the result is (n, 3, pixels, pixels).
    """
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape or (n,), generator=generator)

    scale, aspect = uniform(smallest_crop, 1.0).sqrt(), uniform(-0.25, 0.25).exp()
    height, width = (scale * aspect.sqrt()).clamp(max=1), (scale / aspect.sqrt()).clamp(max=1)
    mirror = torch.where(may_mirror & (uniform(0, 1) < 0.5), -1.0, 1.0)
    crop = torch.zeros(n, 2, 3)
    crop[:, 0, 0], crop[:, 0, 2] = width * mirror, (1 - width) * uniform(-1, 1)
    crop[:, 1, 1], crop[:, 1, 2] = height, (1 - height) * uniform(-1, 1)
    if images.shape[-1] > 1.4 * pixels:  # bilinear sampling alone would alias
        images = F.interpolate(images, size=(int(1.2 * pixels),) * 2, mode="bilinear", antialias=True)
    grid = F.affine_grid(crop, [n, 3, pixels, pixels], align_corners=False)
    cropped = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return cropped * uniform(0.8, 1.2, n, 1, 1, 1) + uniform(-0.05, 0.05, n, 3, 1, 1)
