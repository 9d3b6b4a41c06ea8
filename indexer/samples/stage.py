"""One scene being drawn: its canvas, its chance, its light, and where its subject may stand."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from indexer.samples.canvas import HEIGHT, WIDTH, Canvas
from indexer.samples.palette import INKS, RGB, mix, varied
from indexer.samples.pen import Light, Pen
from indexer.samples.view import View

_SIDES = {"left": 0.31, "center": 0.5, "right": 0.69}
_CROWDS = {2: (0.4, 0.8), 3: (0.29, 0.63), 4: (0.22, 0.5), 5: (0.18, 0.43)}
"""By number: the pitch as a share of the width, and the scale of each."""

Figure = Callable[[Pen], None]


@dataclass(frozen=True)
class Air:
    """A time or a weather: the AMBIENT light, the HAZE at the horizon, the WATER far and near."""

    sky: tuple[tuple[RGB, ...], ...]
    haze: RGB
    ambient: tuple[float, float, float]
    water: tuple[RGB, RGB]
    cloud: RGB
    lamps: bool = False
    snow: bool = False


@dataclass
class Stage:
    """The state that the drawing functions of one picture share."""

    view: View
    rng: random.Random
    air: Air
    canvas: Canvas = field(default_factory=Canvas)
    sun: tuple[float, float] = (WIDTH * 0.75, 60)

    @property
    def ink(self) -> RGB:
        """The subject's colour, a little varied from picture to picture."""
        return varied(self.rng, INKS[self.view.colour], 7)

    @property
    def pen(self) -> Pen:
        """A pen in the light of this air."""
        return Pen(self.canvas, light=Light(self.air.ambient, self.air.haze))

    @property
    def hero(self) -> Pen:
        """A pen for the subject, which keeps more of its colour in the dark than its surroundings do."""
        red, green, blue = (0.42 + 0.58 * part for part in self.air.ambient)
        return Pen(self.canvas, light=Light((red, green, blue), self.air.haze))

    def far(self, haze: float) -> Pen:
        """A pen for things seen through HAZE (0 to 1) of this air."""
        return self.pen.veiled(self.air.haze, haze)

    def jitter(self, amount: float) -> float:
        """A chance offset of up to AMOUNT either way."""
        return self.rng.uniform(-amount, amount)

    def pick(self, *choices: RGB) -> RGB:
        """One of CHOICES, a little varied."""
        return varied(self.rng, self.rng.choice(choices), 8)

    def lift_dark(self) -> None:
        """Let the whole land keep its colour in the dark, where the land is the subject."""
        self.air = replace(self.air, ambient=self.hero.light.ambient)

    def side_x(self) -> float:
        """Across the picture, where a single subject stands."""
        return WIDTH * _SIDES[self.view.side] + self.jitter(9)

    def away_x(self) -> float:
        """Across the picture, a place clear of the subject."""
        if self.view.side == "center":
            return self.rng.choice((WIDTH * 0.13, WIDTH * 0.87)) + self.jitter(8)
        return WIDTH - WIDTH * _SIDES[self.view.side] + self.jitter(16)

    def row(self, y: float, size: float) -> list[tuple[float, float, float]]:
        """Where each of the subjects stands: (x, y, scale), far ones first, smaller the more there are."""
        if self.view.count == 1:
            return [(self.side_x(), y + self.jitter(3), size * self.rng.uniform(0.95, 1.08))]
        share, scale = _CROWDS[self.view.count]
        pitch = WIDTH * share
        first = WIDTH / 2 - pitch * (self.view.count - 1) / 2
        places = [
            (
                first + pitch * step + self.jitter(pitch * 0.05),
                y + self.jitter(7),
                size * scale * self.rng.uniform(0.95, 1.05),
            )
            for step in range(self.view.count)
        ]
        return sorted(places, key=lambda place: place[1])

    def afloat(self, x: float, y: float, scale: float, figure: Figure, *, flip: bool = False) -> None:
        """Draw FIGURE on water at (X, Y), above its own rippled reflection."""
        sunk = self.hero.veiled(mix(*self.air.water, 0.5), 0.45)
        self.hull_shade(x, y, scale)
        figure(sunk.at(x, y, scale, flip=flip, stretch=-0.6))
        self.canvas.ripple(y, min(HEIGHT, y + 75 * scale), 1.1, self.rng.uniform(0, 6))
        figure(self.hero.at(x, y, scale, flip=flip))

    def hull_shade(self, x: float, y: float, scale: float) -> None:
        """Darken the water under a hull."""
        self.pen.shadow(x, y + 2, 66 * scale, 11 * scale, 0.35)
