"""Views: each training picture cut, mirrored and coloured at random, kept with the teacher's answers to that very view.

So a teacher is asked once, and is consistent: it saw what the student sees (Beyer et al. 2022). The first view of a
picture is the whole of it, as searching will show it.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash
from numpy.lib.format import open_memmap
from PIL import Image, ImageEnhance

from engine.artifacts import replace_file
from engine.config import MediaSettings
from engine.media import read_media
from engine.types import F32, U8
from indexer.jobs import Tell
from indexer.starter.sources import Example
from indexer.starter.teacher import Teacher

_MARK, _BLOCK = "views.json", 64
_ASPECT, _LIGHT = 0.25, 0.3  # most change of the logarithm of the aspect, and of brightness, contrast and colour


@dataclass(frozen=True, slots=True)
class Views:
    """k views of each of n pictures, memory-mapped. pixels: (n, k, side, side, 3) uint8; features: (n, k, f) float16,

    none below zero; logits: (n, k, c) float16.
    """

    pixels: U8
    features: F32
    logits: F32

    def __len__(self) -> int:
        return len(self.pixels)

    def upto(self, row: int) -> "Views":
        """The pictures before `row` alone."""
        return Views(self.pixels[:row], self.features[:row], self.logits[:row])

    def since(self, row: int) -> "Views":
        """Without the pictures before `row`."""
        return Views(self.pixels[row:], self.features[row:], self.logits[row:])


def make_views(
    examples: Sequence[Example],
    teacher: Teacher,
    folder: Path,
    *,
    views: int,
    side: int,
    smallest_crop: float,
    seed: int,
    tell: Tell,
) -> Views:
    """Made once and kept in `folder`; an interrupted making goes on where it was. Raises MediaError for a bad file."""
    facts = [[str(one.path.name) for one in examples], [one.may_mirror for one in examples]]
    known = xxhash.xxh3_128_hexdigest(json.dumps([facts, teacher.name, views, side, smallest_crop, seed]))
    mark, done = folder / _MARK, 0
    if mark.is_file():
        kept = json.loads(mark.read_text(encoding="utf-8"))
        done = kept["done"] if kept["of"] == known else 0
    folder.mkdir(parents=True, exist_ok=True)
    first = teacher.look(np.zeros((teacher.pixels, teacher.pixels, 3), np.uint8))
    shapes = {
        "pixels": (np.uint8, (side, side, 3)),
        "features": (np.float16, first[0].shape),
        "logits": (np.float16, first[1].shape),
    }
    arrays = {
        name: open_memmap(folder / f"{name}.npy", "r+")
        if done
        else open_memmap(folder / f"{name}.npy", "w+", kind, (len(examples), views, *shape))
        for name, (kind, shape) in shapes.items()
    }

    def make(row: int) -> tuple[list[U8], list[tuple[F32, F32]]]:
        made = list(_cut(examples[row], views, smallest_crop, max(teacher.pixels, side), f"{seed}/{row}"))
        return [_sized(view, side) for view in made], [teacher.look(_sized(view, teacher.pixels)) for view in made]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(done, len(examples), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(examples)))
            for row, (pixels, answers) in zip(rows, pool.map(make, rows), strict=True):
                arrays["pixels"][row] = pixels
                arrays["features"][row] = [features for features, _ in answers]
                arrays["logits"][row] = [logits for _, logits in answers]
            for array in arrays.values():
                array.flush()
            replace_file(mark, json.dumps({"of": known, "done": rows.stop}).encode())
            tell("looking at pictures with the teacher", rows.stop, len(examples))
    return Views(**arrays)


def _cut(example: Example, views: int, smallest_crop: float, pixels: int, seed: str) -> Iterator[Image.Image]:
    image = read_media(example.path, MediaSettings(), pixels).frames[0].image.convert("RGB")
    yield image
    rng = np.random.default_rng(xxhash.xxh3_64_intdigest(seed))
    for _ in range(views - 1):
        area, aspect = rng.uniform(smallest_crop, 1), np.exp(rng.uniform(-_ASPECT, _ASPECT))
        width, height = min(1.0, np.sqrt(area * aspect)), min(1.0, np.sqrt(area / aspect))
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        box = (left * image.width, top * image.height, (left + width) * image.width, (top + height) * image.height)
        view = image.resize((pixels, pixels), Image.Resampling.BICUBIC, box)
        mirrored, changes = rng.random() < 0.5, rng.uniform(1 - _LIGHT, 1 + _LIGHT, 3)
        if mirrored and example.may_mirror:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for change, by in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), changes, strict=True
        ):
            view = change(view).enhance(by)
        yield view


def _sized(image: Image.Image, side: int) -> U8:
    return np.array(image.resize((side, side), Image.Resampling.BICUBIC), np.uint8)  # one that may be written to
