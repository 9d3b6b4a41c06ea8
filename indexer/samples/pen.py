"""A pen with its own origin, size, slant and light, so that one drawing serves anywhere in a scene.

Figures are drawn in their own units around their own origin (most stand on y = 0, with y downwards and
about a hundred units tall); `Pen.at` puts them somewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from indexer.samples.canvas import Canvas, Gradient, Paint, Point
from indexer.samples.palette import INK, RGB, mix

Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Light:
    """What the air does to a colour: AMBIENT multiplies it, then HAZE (0 to 1) fades it into VEIL."""

    ambient: tuple[float, float, float] = (1.0, 1.0, 1.0)
    veil: RGB = (255, 255, 255)
    haze: float = 0.0

    @property
    def dark(self) -> bool:
        """Whether it is dark enough for lamps to be lit."""
        return self.ambient[0] < 0.7

    def on(self, colour: RGB) -> RGB:
        """COLOUR as it looks in this light."""
        red, green, blue = (min(255, round(level * part)) for level, part in zip(colour, self.ambient, strict=True))
        return mix((red, green, blue), self.veil, self.haze)


@dataclass(frozen=True)
class Pen:
    """Draws shapes on CANVAS through MATRIX in a LIGHT."""

    canvas: Canvas
    matrix: Matrix = (1, 0, 0, 0, 1, 0)
    light: Light = Light()

    def at(
        self, x: float, y: float, scale: float = 1, *, flip: bool = False, turn: float = 0, stretch: float = 1
    ) -> Pen:
        """A pen with its origin at (X, Y), turned by TURN degrees clockwise, then mirrored by FLIP."""
        cos, sin = math.cos(math.radians(turn)) * scale, math.sin(math.radians(turn)) * scale
        a, b, c, d, e, f = self.matrix
        across = -1 if flip else 1
        ox, oy = self._place((x, y))
        p, q, r, s = across * cos, -across * sin * stretch, sin, cos * stretch
        return replace(self, matrix=(a * p + b * r, a * q + b * s, ox, d * p + e * r, d * q + e * s, oy))

    def lit(self, light: Light) -> Pen:
        """The same pen in another LIGHT."""
        return replace(self, light=light)

    def veiled(self, veil: RGB, haze: float) -> Pen:
        """The same pen seen through air or water of colour VEIL."""
        return self.lit(replace(self.light, veil=veil, haze=haze))

    @property
    def bright(self) -> Pen:
        """The same pen for things that give their own light."""
        return self.lit(Light())

    def polygon(self, points: Sequence[Point], paint: Paint, opacity: float = 1) -> None:
        """Fill a polygon."""
        self.canvas.fill([self._place(point) for point in points], self._shade(paint), opacity)

    def rect(self, x: float, y: float, w: float, h: float, paint: Paint, opacity: float = 1) -> None:
        """Fill a rectangle whose top left corner is (X, Y)."""
        self.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], paint, opacity)

    def box(self, x: float, y: float, w: float, h: float, paint: Paint, radius: float = 6) -> None:
        """Fill a rectangle with rounded corners."""
        left, top, right, bottom = x + radius, y + radius, x + w - radius, y + h - radius
        centres = ((right, top), (right, bottom), (left, bottom), (left, top))
        corners = [
            (cx + radius * math.cos(math.radians(angle)), cy + radius * math.sin(math.radians(angle)))
            for quarter, (cx, cy) in enumerate(centres)
            for angle in range(quarter * 90 - 90, quarter * 90 + 1, 18)
        ]
        self.polygon(corners, paint)

    def ellipse(self, x: float, y: float, rx: float, ry: float, paint: Paint, opacity: float = 1) -> None:
        """Fill an ellipse around (X, Y)."""
        self.polygon(arc((x, y), rx, ry, 0, 360), paint, opacity)

    def blob(self, points: Sequence[Point], paint: Paint, opacity: float = 1) -> None:
        """Fill a smooth closed shape that passes through POINTS."""
        self.polygon(smooth([points[-1], *points, points[0], points[1]]), paint, opacity)

    def line(self, points: Sequence[Point], colour: RGB, width: float = 2, opacity: float = 1) -> None:
        """Draw straight segments through POINTS."""
        a, b, _, d, e, _ = self.matrix
        self.canvas.stroke(
            [self._place(point) for point in points],
            self.light.on(colour),
            width * math.sqrt(abs(a * e - b * d)),
            opacity,
        )

    def curve(self, points: Sequence[Point], colour: RGB, width: float = 2, opacity: float = 1) -> None:
        """Draw a smooth open line through POINTS."""
        self.line(smooth([points[0], *points, points[-1]]), colour, width, opacity)

    def glow(self, x: float, y: float, reach: float, colour: RGB, strength: float = 0.6) -> None:
        """Light the air around (X, Y); the light itself takes no shade."""
        self.canvas.soft(self._place((x, y)), (reach * self._size(), reach * self._size()), colour, strength)

    def shadow(self, x: float, y: float, rx: float, ry: float, strength: float = 0.4) -> None:
        """Lay a soft shadow on the ground around (X, Y)."""
        size = self._size()
        self.canvas.soft(self._place((x, y)), (rx * size, ry * size), INK, strength)

    def text(self, x: float, y: float, words: str, height: float, colour: RGB) -> None:
        """Letter WORDS around (X, Y), always upright and readable."""
        self.canvas.text(self._place((x, y)), words, height * self._size(), self.light.on(colour))

    def _place(self, point: Point) -> Point:
        a, b, c, d, e, f = self.matrix
        return (a * point[0] + b * point[1] + c, d * point[0] + e * point[1] + f)

    def _size(self) -> float:
        return math.hypot(self.matrix[0], self.matrix[3])

    def _shade(self, paint: Paint) -> Paint:
        if not isinstance(paint, Gradient):
            return self.light.on(paint)
        start, end = self.light.on(paint.start), self.light.on(paint.end)
        upside_down = paint.kind == "down" and self.matrix[4] < 0
        return Gradient(end, start, paint.kind) if upside_down else Gradient(start, end, paint.kind)


def arc(centre: Point, rx: float, ry: float, start: float, stop: float) -> list[Point]:
    """Points along an ellipse from START to STOP degrees, clockwise from the right."""
    steps = max(8, round(abs(stop - start) / 9))
    angles = (math.radians(start + (stop - start) * step / steps) for step in range(steps + 1))
    return [(centre[0] + rx * math.cos(angle), centre[1] + ry * math.sin(angle)) for angle in angles]


def smooth(points: Sequence[Point], steps: int = 7) -> list[Point]:
    """A Catmull-Rom curve through POINTS but for the first and the last, which only guide it."""
    path: list[Point] = []
    for before, start, end, after in zip(points, points[1:], points[2:], points[3:], strict=False):
        for step in range(steps + 1):
            t = step / steps
            path.append(
                (
                    _spline(t, before[0], start[0], end[0], after[0]),
                    _spline(t, before[1], start[1], end[1], after[1]),
                )
            )
    return path


def _spline(t: float, before: float, start: float, end: float, after: float) -> float:
    bend = 2 * before - 5 * start + 4 * end - after
    twist = 3 * start - before - 3 * end + after
    return start + 0.5 * t * (end - before + t * (bend + t * twist))


def symmetric(half: Sequence[Point]) -> list[Point]:
    """The right HALF of an outline, from top to bottom, followed by its mirror image on the left."""
    return [*half, *((-x, y) for x, y in reversed(half) if x)]
