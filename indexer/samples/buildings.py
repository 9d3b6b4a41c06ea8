"""Houses, towers and walls; each stands on (0, 0), its windows alight where the lamps are lit."""

from __future__ import annotations

import random

from indexer.samples.canvas import Gradient
from indexer.samples.palette import CREAM, GLASS, INK, LAMPLIGHT, RGB, SNOW, darker, lighter
from indexer.samples.pen import Pen, arc

ROOF: RGB = (134, 70, 58)
SLATE: RGB = (86, 92, 110)


def pane(pen: Pen, x: float, y: float, w: float, h: float, *, lit: bool) -> None:
    """A framed window whose top left corner is (X, Y)."""
    pen.rect(x - 1.6, y - 1.6, w + 3.2, h + 3.2, CREAM)
    if lit:
        pen.bright.rect(x, y, w, h, Gradient((255, 240, 178), LAMPLIGHT))
        pen.glow(x + w / 2, y + h / 2, w * 1.7, LAMPLIGHT, 0.45)
    else:
        pen.rect(x, y, w, h, Gradient(darker(GLASS, 0.35), GLASS))
    pen.line([(x + w / 2, y), (x + w / 2, y + h)], CREAM, 1.2)
    pen.line([(x, y + h / 2), (x + w, y + h / 2)], CREAM, 1.2)


def door(pen: Pen, x: float, w: float, h: float, colour: RGB) -> None:
    """A door centred on X."""
    pen.rect(x - w / 2 - 1.6, -h - 1.6, w + 3.2, h + 1.6, CREAM)
    pen.rect(x - w / 2, -h, w, h, Gradient(lighter(colour, 0.1), darker(colour, 0.25)))
    pen.ellipse(x + w * 0.3, -h * 0.45, 1.3, 1.3, LAMPLIGHT)


def cottage(pen: Pen, colour: RGB, *, lit: bool, snowy: bool = False) -> None:
    """A gabled house seen from a corner, walls of COLOUR, a hundred units wide."""
    pen.shadow(4, 1, 70, 9)
    pen.rect(22, -98, 11, 30, darker(ROOF, 0.3))
    pen.rect(-48, -48, 96, 48, Gradient(lighter(colour, 0.14), darker(colour, 0.06), "across"))
    pen.polygon([(-48, 0), (-48, -48), (-27, -78), (-6, -48), (-6, 0)], darker(colour, 0.14))
    roof = SNOW if snowy else SLATE
    pen.polygon([(-29, -84), (37, -84), (55, -45), (-3, -45)], Gradient(lighter(roof, 0.12), darker(roof, 0.2)))
    pen.polygon([(-29, -84), (-24, -79), (-50, -43), (-56, -45)], darker(roof, 0.1))
    pen.line([(-28, -82), (-3, -45)], lighter(roof, 0.35), 3)
    door(pen, 10, 15, 30, darker(ROOF, 0.1))
    pane(pen, -35, -37, 16, 18, lit=lit)
    pane(pen, 25, -36, 15, 17, lit=lit)
    if snowy:
        pen.rect(20, -101, 15, 5, SNOW)


def town_house(pen: Pen, rng: random.Random, colour: RGB, tall: float, *, lit: bool, snowy: bool = False) -> None:
    """A narrow house of a terrace, fifty units wide and TALL to the eaves."""
    wall = Gradient(lighter(colour, 0.14), darker(colour, 0.1), "across")
    roof = SNOW if snowy else rng.choice((ROOF, SLATE))
    shape = rng.randrange(3)
    if shape == 0:
        pen.polygon([(-28, -tall), (0, -tall - 32), (28, -tall)], Gradient(lighter(roof, 0.2), roof))
    elif shape == 1:
        pen.polygon(
            [(-28, -tall), (-19, -tall - 22), (19, -tall - 22), (28, -tall)],
            Gradient(lighter(roof, 0.2), roof),
        )
    else:
        for step in range(4):
            pen.rect(-25 + step * 6, -tall - 8 * (step + 1), 50 - step * 12, 9, colour)
            pen.rect(-25 + step * 6, -tall - 8 * (step + 1) - 1, 50 - step * 12, 2, lighter(roof, 0.5))
    pen.rect(-25, -tall, 50, tall, wall)
    pen.rect(-25, -tall, 50, 3, lighter(colour, 0.5))
    for floor in range(1, max(2, int((tall - 8) // 28))):
        for x in (-17, 5):
            pane(pen, x, -10 - 28 * floor - 14, 12, 17, lit=lit and rng.random() < 0.75)
    door(pen, -9, 12, 24, rng.choice((ROOF, SLATE, (60, 96, 88))))
    pane(pen, 5, -25, 13, 14, lit=lit)


def clock_face(pen: Pen, radius: float, rim: RGB, time: tuple[int, int]) -> None:
    """A clock dial around the origin showing TIME, hours and minutes."""
    pen.ellipse(0, 0, radius, radius, Gradient(lighter(rim, 0.2), darker(rim, 0.2)))
    pen.ellipse(0, 0, radius * 0.8, radius * 0.8, CREAM)
    for hour in range(12):
        pen.at(0, 0, turn=hour * 30).line([(0, -radius * 0.7), (0, -radius * 0.6)], INK, radius * 0.05)
    hours, minutes = time
    pen.at(0, 0, turn=hours * 30 + minutes / 2).line([(0, 0), (0, -radius * 0.4)], INK, radius * 0.09)
    pen.at(0, 0, turn=minutes * 6).line([(0, 0), (0, -radius * 0.6)], INK, radius * 0.06)
    pen.ellipse(0, 0, radius * 0.07, radius * 0.07, INK)


def clock_tower(pen: Pen, colour: RGB, *, lit: bool, snowy: bool) -> None:
    """A tall square tower with a clock and a pointed roof."""
    pen.shadow(4, 0, 40, 7)
    wall = Gradient(lighter(colour, 0.2), darker(colour, 0.25), "across")
    pen.rect(-24, -150, 48, 150, wall)
    for y in (-150, -104, -50):
        pen.rect(-27, y, 54, 5, lighter(colour, 0.35))
    roof = SNOW if snowy else SLATE
    pen.polygon([(-30, -150), (0, -212), (0, -150)], lighter(roof, 0.15))
    pen.polygon([(30, -150), (0, -212), (0, -150)], darker(roof, 0.25))
    pen.line([(0, -212), (0, -224)], INK, 2)
    clock_face(pen.at(0, -126), 17, darker(colour, 0.4), (10, 9))
    if lit:
        pen.glow(0, -126, 34, LAMPLIGHT, 0.5)
    for y in (-90, -38):
        pane(pen, -6, y, 12, 24, lit=lit)


def windmill(pen: Pen, colour: RGB, turn: float, *, lit: bool) -> None:
    """A windmill with its sails turned by TURN degrees."""
    pen.shadow(4, 0, 46, 8)
    pen.polygon(
        [(-33, 0), (-21, -98), (21, -98), (33, 0)],
        Gradient(lighter(colour, 0.22), darker(colour, 0.28), "across"),
    )
    pen.polygon(
        [(-25, -97), *arc((0, -97), 23, 27, 180, 360), (25, -97)],
        Gradient(lighter(ROOF, 0.1), darker(ROOF, 0.25)),
    )
    pen.rect(-37, -48, 74, 5, (112, 80, 58))
    door(pen, 0, 16, 28, ROOF)
    pane(pen, -6, -80, 12, 15, lit=lit)
    hub = pen.at(0, -104)
    for quarter in range(4):
        sail = hub.at(0, 0, turn=turn + quarter * 90)
        sail.polygon([(2, -10), (2, -72), (15, -72), (15, -14)], CREAM, 0.92)
        for step in range(6):
            sail.line([(2, -16 - step * 11), (15, -16 - step * 11)], (140, 106, 78), 1)
        sail.line([(0, 0), (0, -74)], (98, 68, 50), 3.2)
    hub.ellipse(0, 0, 5, 5, INK)


def barn(pen: Pen, colour: RGB, *, snowy: bool) -> None:
    """A barn with a gambrel roof and crossed doors."""
    pen.shadow(4, 1, 78, 9)
    front = [(-46, 0), (-46, -46), (-34, -72), (0, -92), (34, -72), (46, -46), (46, 0)]
    roof = SNOW if snowy else SLATE
    pen.polygon([(0, -98), (46, -98), (72, -50), (72, 0), (46, 0)], darker(colour, 0.3))
    pen.polygon([(0, -97), (30, -97), (60, -78), (74, -48), (50, -48), (36, -74)], Gradient(lighter(roof, 0.1), roof))
    pen.polygon(front, Gradient(lighter(colour, 0.1), darker(colour, 0.1), "across"))
    for x in range(-38, 46, 9):
        pen.line([(x, -2), (x, -46)], darker(colour, 0.16), 1)
    pen.line([(-50, -44), (-36, -75), (0, -97), (36, -75), (50, -44)], lighter(roof, 0.3), 5)
    pen.rect(-20, -40, 40, 40, darker(colour, 0.3))
    frame = [(-20, 0), (-20, -40), (20, -40), (20, 0), (-20, -40), (0, -20), (20, -40), (-20, 0)]
    pen.line(frame, CREAM, 3)
    pane(pen, -8, -68, 16, 13, lit=False)


def lighthouse(pen: Pen, colour: RGB, *, lit: bool) -> None:
    """A banded lighthouse on a rock; the bands are of COLOUR."""
    pen.blob(
        [(-46, 4), (-36, -12), (-8, -18), (20, -16), (42, -8), (50, 4)],
        Gradient((132, 118, 112), (70, 62, 70)),
    )
    pale = darker(CREAM, 0.55) if min(colour) > 215 else CREAM
    for band in range(5):
        low, high = band / 5, (band + 1) / 5
        a, b = 21 - 7 * low, 21 - 7 * high
        y0, y1 = -12 - 104 * low, -12 - 104 * high
        tone = pale if band % 2 else colour
        shape = [(-a, y0), (-b, y1), (b, y1), (a, y0)]
        pen.polygon(shape, Gradient(lighter(tone, 0.12), darker(tone, 0.3), "across"))
    pen.rect(-19, -121, 38, 5, INK)
    pen.rect(-10, -138, 20, 17, LAMPLIGHT)
    for x in (-10, 0, 10):
        pen.line([(x, -138), (x, -121)], INK, 1.4)
    pen.polygon([(-14, -138), (0, -154), (14, -138)], colour)
    pen.ellipse(0, -155, 2, 3, INK)
    if lit:
        for side in (-1, 1):
            beam = [(side * 8, -130), (side * 420, -194), (side * 420, -84)]
            pen.bright.polygon(beam, (255, 240, 180), 0.3)
        pen.glow(0, -130, 34, (255, 240, 180), 0.9)
