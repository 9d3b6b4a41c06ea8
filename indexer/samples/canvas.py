"""A supersampled sheet of paper: gradient fills, strokes, soft light, and the print finish.

Everything is drawn at SCALE times the final size and brought down with a Lanczos filter, which is
what makes the edges smooth.  Coordinates here are final pixels, with the origin at the top left.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from indexer.samples.palette import RGB

WIDTH, HEIGHT, SCALE = 384, 288, 2
Point = tuple[float, float]


@dataclass(frozen=True)
class Gradient:
    """A blend from START to END across a shape's bounding box; "radial" starts at its middle."""

    start: RGB
    end: RGB
    kind: Literal["down", "across", "radial"] = "down"


Paint = RGB | Gradient


class Canvas:
    """One picture being drawn."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE))
        self._draw = ImageDraw.Draw(self.image)

    def backdrop(self, stops: Sequence[RGB], top: float = 0, bottom: float = HEIGHT) -> None:
        """Fill the full width from TOP to BOTTOM with evenly spaced colour STOPS."""
        height = max(1, round((bottom - top) * SCALE))
        marks = np.linspace(0, height - 1, len(stops))
        column = np.stack([np.interp(np.arange(height), marks, channel) for channel in zip(*stops, strict=True)])
        strip = Image.fromarray(column.T.round().astype(np.uint8)[:, None, :])
        self.image.paste(strip.resize((WIDTH * SCALE, height), Image.Resampling.NEAREST), (0, round(top * SCALE)))

    def fill(self, points: Sequence[Point], paint: Paint, opacity: float = 1.0) -> None:
        """Fill the polygon POINTS with a flat colour or a gradient."""
        corners = [(x * SCALE, y * SCALE) for x, y in points]
        if not isinstance(paint, Gradient) and opacity >= 1:
            self._draw.polygon(corners, fill=paint)
            return
        left, top, right, bottom = self._bounds(corners)
        if right <= left or bottom <= top:
            return
        size = (right - left, bottom - top)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in corners], fill=round(255 * opacity))
        self.image.paste(_sheet(paint, size), (left, top), mask)

    def stroke(self, points: Sequence[Point], colour: RGB, width: float, opacity: float = 1.0) -> None:
        """Draw a round-ended line of WIDTH final pixels through POINTS."""
        corners = [(x * SCALE, y * SCALE) for x, y in points]
        thick = max(1, round(width * SCALE))
        if opacity >= 1:
            _round_line(self._draw, corners, colour, thick)
            return
        left, top, right, bottom = self._bounds(corners, margin=thick)
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", (right - left, bottom - top))
        shifted = [(x - left, y - top) for x, y in corners]
        _round_line(ImageDraw.Draw(mask), shifted, round(255 * opacity), thick)
        self.image.paste(colour, (left, top, right, bottom), mask)

    def soft(self, centre: Point, reach: Point, colour: RGB, opacity: float) -> None:
        """Lay a soft-edged ellipse of COLOUR: a glow, a shadow or a patch of mist."""
        left, top = round((centre[0] - reach[0]) * SCALE), round((centre[1] - reach[1]) * SCALE)
        size = (max(2, round(reach[0] * 2 * SCALE)), max(2, round(reach[1] * 2 * SCALE)))
        mask = _falloff().resize(size, Image.Resampling.BILINEAR).point(lambda level: level * opacity)
        self.image.paste(colour, (left, top, left + size[0], top + size[1]), mask)

    def text(self, centre: Point, words: str, height: float, colour: RGB) -> None:
        """Letter WORDS around CENTRE, HEIGHT final pixels tall, in the typeface built in to Pillow."""
        font = ImageFont.load_default(height * SCALE)
        place = (centre[0] * SCALE, centre[1] * SCALE)
        weight = max(1, round(height * SCALE / 28))
        self._draw.text(place, words, fill=colour, font=font, anchor="mm", stroke_width=weight, stroke_fill=colour)

    def ripple(self, top: float, bottom: float, strength: float, phase: float = 0.0) -> None:
        """Shake the rows between TOP and BOTTOM sideways, as a wind does to a reflection."""
        first, last = max(0, round(top * SCALE)), min(HEIGHT * SCALE, round(bottom * SCALE))
        if last <= first:
            return
        band = np.asarray(self.image.crop((0, first, WIDTH * SCALE, last)))
        depth = np.arange(last - first)
        waves = np.sin(depth * 0.55 + phase) + 0.6 * np.sin(depth * 0.21 + phase * 2)
        shift = (waves * strength * SCALE * (0.3 + depth / 60)).round().astype(np.intp)
        columns = np.clip(np.arange(band.shape[1])[None, :] + shift[:, None], 0, band.shape[1] - 1)
        shaken = band[depth[:, None], columns]
        self.image.paste(Image.fromarray(shaken), (0, first))

    def mirror(self, y: float, rise: float, depth: float, opacity: float) -> None:
        """Reflect the RISE above Y in the DEPTH below it."""
        source = self.image.crop((0, round((y - rise) * SCALE), WIDTH * SCALE, round(y * SCALE)))
        flipped = source.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((WIDTH * SCALE, round(depth * SCALE)))
        mask = Image.new("L", flipped.size, round(255 * opacity))
        self.image.paste(flipped, (0, round(y * SCALE)), mask)

    def finish(self, rng: random.Random) -> Image.Image:
        """The finished picture at its final size: faded blacks, a vignette and paper grain."""
        small = self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        levels = np.asarray(small, dtype=np.float32) * _vignette()[:, :, None]
        grain = np.roll(_paper(), (rng.randrange(HEIGHT), rng.randrange(WIDTH)), axis=(0, 1))
        levels = levels * np.array([0.965, 0.95, 0.915], np.float32) + np.array([9, 8, 12], np.float32)
        return Image.fromarray(np.clip(levels + grain[:, :, None], 0, 255).astype(np.uint8))

    def _bounds(self, corners: Sequence[Point], margin: int = 1) -> tuple[int, int, int, int]:
        """The whole-pixel box around CORNERS, kept within the sheet."""
        across, down = [x for x, _ in corners], [y for _, y in corners]
        return (
            max(0, math.floor(min(across)) - margin),
            max(0, math.floor(min(down)) - margin),
            min(self.image.width, math.ceil(max(across)) + margin),
            min(self.image.height, math.ceil(max(down)) + margin),
        )


def _round_line(draw: ImageDraw.ImageDraw, corners: Sequence[Point], ink: RGB | int, thick: int) -> None:
    draw.line(corners, fill=ink, width=thick, joint="curve")
    if thick > 2:
        for x, y in (corners[0], corners[-1]):
            draw.circle((x, y), thick / 2, fill=ink)


def _sheet(paint: Paint, size: tuple[int, int]) -> Image.Image:
    """A plain or blended sheet of SIZE to paste through a mask."""
    if not isinstance(paint, Gradient):
        return Image.new("RGB", size, paint)
    ramp = _ramp(paint.kind).resize(size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", size, paint.end), Image.new("RGB", size, paint.start), ramp)


@cache
def _ramp(kind: str) -> Image.Image:
    """A small black-to-white ramp, no larger than it must be, since it is resized for every shape."""
    if kind == "radial":
        return Image.radial_gradient("L").resize((48, 48))
    ramp = Image.linear_gradient("L").resize((1, 256))
    return ramp.transpose(Image.Transpose.ROTATE_90) if kind == "across" else ramp


@cache
def _falloff() -> Image.Image:
    axis = np.linspace(-1, 1, 48)
    distance = np.clip(1 - (axis[None, :] ** 2 + axis[:, None] ** 2), 0, 1)
    return Image.fromarray((distance**2 * 255).astype(np.uint8))


@cache
def _vignette() -> NDArray[np.float32]:
    across, down = np.linspace(-1, 1, WIDTH)[None, :], np.linspace(-1, 1, HEIGHT)[:, None]
    return (1 - 0.13 * np.clip(across**2 + down**2 - 0.5, 0, None)).astype(np.float32)


@cache
def _paper() -> NDArray[np.float32]:
    """Fine grain over soft blotches; one sheet, turned to a different place for every picture."""
    noise = np.random.default_rng(1).normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32)
    blotch = Image.fromarray(noise[: HEIGHT // 6, : WIDTH // 6]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return noise * np.float32(2.2) + np.asarray(blotch, np.float32) * np.float32(1.6)
