"""Trees, flowers and stones that many scenes share; each stands on (0, 0), about a hundred units tall."""

from __future__ import annotations

import math
import random

from indexer.samples.canvas import Gradient
from indexer.samples.palette import LEAF, RGB, SNOW, darker, lighter
from indexer.samples.pen import Pen

BARK: RGB = (104, 72, 52)


def round_tree(pen: Pen, rng: random.Random, leaves: RGB) -> None:
    """A broad-leaved tree with a crown of LEAVES, lit from the upper left."""
    pen.shadow(6, 0, 36, 7)
    pen.polygon([(-7, 0), (-4, -44), (4, -44), (8, 0)], Gradient(lighter(BARK, 0.15), darker(BARK, 0.3), "across"))
    pen.line([(0, -34), (-15, -56)], BARK, 4)
    pen.line([(1, -36), (16, -58)], BARK, 4)
    tufts = [
        (-22, -50, 20),
        (22, -50, 20),
        (0, -46, 20),
        (-17, -72, 20),
        (17, -72, 21),
        (0, -86, 20),
        (0, -62, 24),
    ]
    for x, y, reach in tufts:
        pen.ellipse(x + 2, y + 4, reach, reach * 0.9, darker(leaves, 0.28))
    for x, y, reach in tufts:
        pen.ellipse(x - 1, y - 1, reach * 0.88, reach * 0.78, Gradient(lighter(leaves, 0.18), darker(leaves, 0.1)))
    for _ in range(34):
        angle, spread = rng.uniform(0, math.tau), math.sqrt(rng.random())
        dx, dy = 38 * spread * math.cos(angle), 34 * spread * math.sin(angle)
        pen.ellipse(dx, dy - 66, 3.4, 2.6, lighter(leaves, 0.3) if dx + dy < 6 else darker(leaves, 0.14))


def conifer(pen: Pen, leaves: RGB, *, snowy: bool = False) -> None:
    """A fir of four tiers, each with a lit and a shaded half."""
    pen.shadow(4, 0, 26, 5)
    pen.rect(-4, -14, 8, 14, darker(BARK, 0.2))
    for tier in range(4):
        top, foot, reach = -100 + tier * 20, -58 + tier * 16, 14 + tier * 6
        pen.polygon([(0, top), (reach, foot), (reach * 0.45, foot - 3), (0, foot + 3)], darker(leaves, 0.35))
        pen.polygon([(0, top), (0, foot + 3), (-reach * 0.45, foot - 3), (-reach, foot)], leaves)
        if snowy:
            pen.polygon(
                [(0, top), (reach * 0.5, top + (foot - top) * 0.55), (0, top + 14), (-reach * 0.8, foot - 5)],
                SNOW,
            )


def palm(pen: Pen) -> None:
    """A leaning palm with seven fronds."""
    pen.curve([(0, 0), (7, -36), (20, -70)], (146, 104, 66), 6)
    for angle in (-200, -170, -140, -90, -40, -10, 20):
        x, y = 20 + 38 * math.cos(math.radians(angle)), -70 + 26 * math.sin(math.radians(angle)) + 10
        middle = ((20 + x) / 2, (y - 70) / 2 - 12)
        pen.blob([(20, -70), middle, (x, y), (middle[0], middle[1] + 8)], LEAF if angle % 20 else darker(LEAF, 0.2))


def bush(pen: Pen, leaves: RGB) -> None:
    """A low rounded shrub, twenty units tall."""
    for x, reach in ((-14, 11), (13, 12), (0, 15)):
        pen.ellipse(x, -reach * 0.7, reach, reach * 0.9, Gradient(lighter(leaves, 0.2), darker(leaves, 0.3)))


def blossom(pen: Pen, colour: RGB, petals: int = 7) -> None:
    """An open flower of radius ten around the origin."""
    for step in range(petals):
        petal = pen.at(0, 0, turn=360 * step / petals)
        petal.ellipse(0, -6, 3.6, 5, Gradient(lighter(colour, 0.2), darker(colour, 0.1)))
    pen.ellipse(0, 0, 3.2, 3.2, (250, 206, 70) if colour[2] > 90 else (150, 88, 40))


def tulip(pen: Pen, colour: RGB) -> None:
    """A tulip with two leaves."""
    green = (78, 146, 72)
    pen.curve([(0, 0), (2, -30), (0, -66)], darker(green, 0.1), 4)
    pen.blob([(0, 0), (-14, -26), (-20, -54), (-7, -30)], green)
    pen.blob([(0, 0), (14, -22), (21, -46), (8, -26)], darker(green, 0.2))
    pen.blob(
        [(-17, -92), (-19, -72), (0, -60), (19, -72), (17, -92), (9, -82), (0, -98), (-9, -82)],
        darker(colour, 0.18),
    )
    pen.blob([(0, -99), (-12, -80), (0, -61), (12, -80)], Gradient(lighter(colour, 0.3), colour))


def sunflower(pen: Pen, colour: RGB) -> None:
    """A sunflower facing us."""
    green = (84, 140, 60)
    pen.curve([(0, 0), (-2, -36), (0, -72)], green, 4.5)
    pen.blob([(0, -24), (17, -38), (30, -30), (15, -22)], lighter(green, 0.1))
    pen.blob([(-1, -34), (-18, -48), (-30, -40), (-15, -31)], darker(green, 0.15))
    for step in range(16):
        petal = pen.at(0, -78, turn=step * 22.5)
        petal.blob([(0, -9), (-4.5, -18), (0, -27), (4.5, -18)], colour if step % 2 else darker(colour, 0.14))
    pen.ellipse(0, -78, 12, 12, Gradient((126, 76, 38), (64, 38, 26), "radial"))


def rock(pen: Pen, colour: RGB = (122, 112, 112)) -> None:
    """A boulder forty units across."""
    pen.polygon(
        [(-22, 0), (-17, -13), (-5, -20), (10, -17), (20, -7), (23, 0)],
        Gradient(lighter(colour), darker(colour)),
    )
    pen.polygon([(10, -17), (20, -7), (23, 0), (6, 0), (3, -9)], darker(colour, 0.35))
