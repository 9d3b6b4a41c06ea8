"""Apples, cakes, pizzas, bread, cups, bowls of fruit and ice cream, on a table."""

from __future__ import annotations

import math

from indexer.samples.canvas import Gradient
from indexer.samples.palette import CREAM, LEAF, RGB, darker, lighter
from indexer.samples.pen import Pen, arc, symmetric
from indexer.samples.scenes.rooms import draw_table
from indexer.samples.stage import Stage

_CRUST: RGB = (214, 156, 86)


def draw(stage: Stage) -> None:
    """Lay the table and serve the food on it."""
    draw_table(stage)
    figure, size = _DISHES[stage.view.subject.name]
    for x, y, scale in stage.row(246, size):
        figure(stage.hero.at(x, y, scale), stage.ink)


def apple(pen: Pen, colour: RGB) -> None:
    """An apple with a leaf."""
    pen.shadow(8, 0, 44, 8)
    outline = symmetric([(0, -66), (22, -74), (40, -56), (38, -26), (20, -1), (0, -5)])
    pen.blob(outline, Gradient(lighter(colour, 0.16), darker(colour, 0.3), "radial"))
    pen.ellipse(-18, -52, 8, 12, lighter(colour, 0.7), 0.6)
    pen.ellipse(0, -67, 10, 4, darker(colour, 0.4))
    pen.curve([(0, -66), (2, -78), (8, -88)], (94, 64, 44), 3.6)
    pen.blob([(4, -78), (18, -94), (36, -88), (22, -76)], Gradient(lighter(LEAF, 0.2), darker(LEAF, 0.2)))


def _plate(pen: Pen, colour: RGB, reach: float) -> None:
    pen.shadow(6, 4, reach * 1.15, reach * 0.28)
    pen.ellipse(0, 0, reach, reach * 0.3, Gradient(lighter(colour, 0.2), darker(colour, 0.2)))
    pen.ellipse(0, -1, reach * 0.72, reach * 0.19, lighter(colour, 0.32))


def _cake(pen: Pen, colour: RGB) -> None:
    _plate(pen, CREAM, 78)
    for foot, reach, tall in ((-2, 58, 40), (-42, 42, 32)):
        side = [
            *arc((0, foot), reach, reach * 0.24, 0, 180),
            *arc((0, foot - tall), reach, reach * 0.24, 180, 360),
        ]
        pen.polygon(side, Gradient(lighter(colour, 0.24), darker(colour, 0.24), "across"))
        pen.ellipse(0, foot - tall, reach, reach * 0.24, lighter(colour, 0.4))
        for step in range(9):
            x = reach * math.cos(math.pi * step / 8)
            y = foot - tall + reach * 0.24 * math.sin(math.pi * step / 8)
            pen.ellipse(x, y + 3, 6, 7 if step % 2 else 10, lighter(colour, 0.72))
    for x in (-22, 0, 22):
        pen.line([(x, -78), (x, -98)], (236, 120, 110), 4)
        pen.ellipse(x, -104, 3, 6, (255, 206, 90))
    pen.ellipse(-12, -76, 6, 6, (206, 44, 52))
    pen.ellipse(12, -74, 6, 6, (206, 44, 52))


def _pizza(pen: Pen, colour: RGB) -> None:
    """A pizza on a plate of COLOUR."""
    pen.shadow(6, -18, 116, 44)
    pen.ellipse(0, -26, 106, 52, Gradient(lighter(colour, 0.2), darker(colour, 0.2)))
    pen.ellipse(0, -29, 82, 39, Gradient(lighter(_CRUST, 0.2), darker(_CRUST, 0.2)))
    pen.ellipse(0, -31, 72, 33, (214, 84, 48))
    pen.ellipse(0, -32, 69, 31, (246, 206, 110))
    for step in range(11):
        x, y = (
            56 * math.sin(step * 2.4) * (step / 11) ** 0.5,
            -32 + 24 * math.cos(step * 2.4) * (step / 11) ** 0.5,
        )
        pen.ellipse(x, y, 10, 6, (196, 52, 44))
        pen.ellipse(x - 1, y - 1, 7, 4, (222, 86, 66))
        pen.ellipse(x + 13, y + 3, 4, 2, LEAF)


def _bread(pen: Pen, colour: RGB) -> None:
    """A loaf of bread on a plate of COLOUR."""
    _plate(pen, colour, 106)
    pen.blob(
        symmetric([(0, -60), (50, -54), (72, -34), (70, -8), (0, 0)]),
        Gradient(lighter(_CRUST, 0.1), (146, 88, 44)),
    )
    for x in (-40, -12, 16, 44):
        pen.blob([(x - 10, -48), (x + 2, -54), (x + 8, -30), (x, -26)], lighter(_CRUST, 0.55))
    pen.ellipse(-20, -50, 30, 3, CREAM, 0.4)


def _cup(pen: Pen, colour: RGB) -> None:
    pen.shadow(6, 0, 56, 9)
    pen.ellipse(0, -3, 52, 12, Gradient(lighter(colour, 0.4), darker(colour, 0.12)))
    pen.line(arc((36, -38), 17, 16, -80, 90), darker(colour, 0.12), 7)
    pen.blob(
        [(-38, -64), (-35, -30), (-19, -6), (19, -6), (35, -30), (38, -64)],
        Gradient(lighter(colour, 0.24), darker(colour, 0.3), "across"),
    )
    pen.ellipse(0, -64, 38, 9, lighter(colour, 0.45))
    pen.ellipse(0, -63, 33, 7, (98, 62, 42))
    for x in (-12, 8):
        pen.curve([(x, -76), (x - 6, -88), (x + 6, -100), (x, -114)], CREAM, 3, 0.7)


def _fruit_bowl(pen: Pen, colour: RGB) -> None:
    pen.shadow(6, 0, 84, 11)
    fruit = (
        (-46, -58, 22, (240, 146, 44)),
        (44, -58, 23, (206, 48, 46)),
        (0, -66, 25, (146, 186, 70)),
        (-24, -82, 20, (206, 48, 46)),
        (24, -84, 20, (246, 196, 60)),
    )
    pen.curve([(-64, -52), (-76, -84), (-62, -112)], (244, 206, 74), 13)
    pen.curve([(-54, -52), (-64, -82), (-54, -106)], (228, 180, 54), 12)
    for x, y, reach, tone in fruit:
        pen.ellipse(x, y, reach, reach, Gradient(lighter(tone, 0.2), darker(tone, 0.3), "radial"))
        pen.ellipse(x - reach * 0.3, y - reach * 0.4, reach * 0.2, reach * 0.26, CREAM, 0.5)
    for step in range(6):
        pen.ellipse(
            58 + 8 * (step % 2),
            -52 - 7 * step + (step % 3) * 4,
            8,
            8,
            Gradient((150, 96, 176), (84, 44, 112)),
        )
    pen.blob(
        [(-82, -50), (-70, -20), (-30, -3), (30, -3), (70, -20), (82, -50), (0, -42)],
        Gradient(lighter(colour, 0.24), darker(colour, 0.28), "across"),
    )
    pen.line([(-80, -48), (-40, -43), (0, -42), (40, -43), (80, -48)], lighter(colour, 0.6), 4)
    pen.box(-26, -6, 52, 7, darker(colour, 0.2), 3)


def _ice_cream(pen: Pen, colour: RGB) -> None:
    """Two scoops in a glass with a wafer."""
    pen.shadow(4, 0, 44, 8)
    pen.polygon([(16, -84), (38, -134), (48, -129), (30, -78)], _CRUST)
    for x, y, reach in ((-15, -78, 22), (16, -78, 22), (0, -101, 23)):
        pen.ellipse(x, y, reach, reach * 0.95, Gradient(lighter(colour, 0.24), darker(colour, 0.16)))
        pen.ellipse(x - 7, y - 8, 5, 4, lighter(colour, 0.65))
    pen.ellipse(-2, -124, 6.5, 6.5, (206, 40, 52))
    pen.curve([(-2, -129), (2, -138), (8, -142)], (84, 120, 60), 1.8)
    pen.polygon(
        [(-40, -72), (40, -72), (14, -26), (-14, -26)],
        Gradient((236, 246, 246), (166, 200, 212), "across"),
        0.85,
    )
    pen.polygon([(-30, -66), (30, -66), (12, -32), (-12, -32)], lighter(colour, 0.3), 0.85)
    pen.rect(-4, -27, 8, 22, (196, 220, 226))
    pen.ellipse(0, -4, 28, 6, Gradient((226, 240, 242), (150, 184, 198)))


_DISHES = {
    "apple": (apple, 1.35),
    "cake": (_cake, 1.3),
    "pizza": (_pizza, 1.0),
    "bread": (_bread, 1.0),
    "cup": (_cup, 1.4),
    "fruit bowl": (_fruit_bowl, 1.1),
    "ice cream": (_ice_cream, 1.2),
}
