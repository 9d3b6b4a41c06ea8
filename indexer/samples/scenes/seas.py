"""Boats, sailboats, ships, lighthouses and a hut on an island."""

from __future__ import annotations

import math
from functools import partial

from indexer.samples.buildings import cottage, lighthouse
from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import SAND, islet, rocks, shore_hills, water
from indexer.samples.nature import bush, palm
from indexer.samples.palette import CREAM, GLASS, INK, LAMPLIGHT, LEAF, RGB, darker, lighter, mix
from indexer.samples.pen import Pen
from indexer.samples.skies import draw_birds, draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw open water, what lies behind, and the subject on it."""
    horizon = 142 + stage.jitter(8)
    draw_sky(stage, horizon)
    if stage.rng.random() < 0.6 and stage.view.subject.name != "hut":
        shore_hills(stage, horizon)
    water(stage, horizon)
    _details(stage, horizon)
    _SUBJECTS[stage.view.subject.name](stage)
    if stage.view.setting == "storm":
        _breakers(stage)


def _details(stage: Stage, horizon: float) -> None:
    if stage.view.detail == "birds":
        draw_birds(stage, 46)
    elif stage.view.detail == "lighthouse":
        lighthouse(stage.far(0.12).at(stage.away_x(), horizon + 9, 0.72), (214, 66, 56), lit=stage.air.lamps)
    elif stage.view.detail == "island":
        islet(stage, stage.away_x(), horizon + 9, 0.95)


def _boats(stage: Stage) -> None:
    figure = partial(_boat, colour=stage.ink, lit=stage.air.lamps)
    _fleet(stage, figure, 218, 1.5)


def _sailboats(stage: Stage) -> None:
    _fleet(stage, partial(_sailboat, colour=stage.ink), 220, 1.32)


def _fleet(stage: Stage, figure: partial[None], y: float, size: float) -> None:
    flip = stage.rng.random() < 0.5
    for x, foot, scale in stage.row(y, size):
        stage.afloat(x, foot, scale, figure, flip=flip)


def _one_ship(stage: Stage) -> None:
    figure = partial(_ship, colour=stage.ink, lit=stage.air.lamps)
    stage.afloat(stage.side_x(), 214, 1.5, figure, flip=stage.rng.random() < 0.5)


def _one_lighthouse(stage: Stage) -> None:
    x = stage.side_x()
    figure = partial(lighthouse, colour=stage.ink, lit=stage.air.lamps or stage.view.setting == "storm")
    stage.afloat(x, 226, 1.3, figure)
    rocks(stage, x, 232, 5, 60)


def _one_hut(stage: Stage) -> None:
    x, y = stage.side_x(), 216
    pen = stage.hero.at(x, y)
    stage.hull_shade(x, y + 8, 1.9)
    pen.blob(
        [(-130, 6), (-80, -10), (0, -18), (86, -10), (130, 6), (0, 20)],
        Gradient(lighter(SAND), darker(SAND, 0.15)),
    )
    pen.blob(
        [(-90, -4), (-50, -28), (0, -34), (56, -26), (92, -4), (0, 6)],
        Gradient(lighter(LEAF, 0.15), darker(LEAF, 0.2)),
    )
    palm(pen.at(-62, -16, 1.25))
    palm(pen.at(58, -14, 1.1, flip=True))
    cottage(pen.at(2, -10, 0.86), stage.ink, lit=stage.air.lamps)
    for dx in (-46, 50, 66):
        bush(pen.at(dx, -2, 0.6), darker(LEAF, 0.1))


def _boat(pen: Pen, colour: RGB, *, lit: bool) -> None:
    """A fishing boat with a cabin and a mast."""
    pen.line([(16, -20), (16, -84)], (92, 64, 50), 2.6)
    pen.line([(16, -80), (52, -24)], INK, 0.8)
    pen.line([(16, -80), (-50, -22)], INK, 0.8)
    pen.polygon([(17, -84), (36, -78), (17, -72)], colour)
    pen.rect(-26, -46, 34, 26, Gradient(CREAM, darker(CREAM, 0.2), "across"))
    pen.box(-30, -51, 42, 7, darker(colour, 0.1), 3)
    for x in (-21, -6):
        window = pen.bright if lit else pen
        window.rect(x, -40, 10, 10, LAMPLIGHT if lit else darker(GLASS, 0.3))
        if lit:
            pen.glow(x + 5, -35, 16, LAMPLIGHT, 0.5)
    hull = [(-56, -26), (-20, -20), (30, -21), (64, -34), (52, -8), (42, 0), (-42, 0), (-52, -10)]
    pen.polygon(hull, Gradient(lighter(colour, 0.16), darker(colour, 0.22)))
    pen.line([(-56, -26), (-20, -20), (30, -21), (64, -34)], CREAM, 3.2)
    pen.polygon([(-50, -6), (48, -6), (42, 0), (-42, 0)], darker(colour, 0.5))
    for x in (-34, -14, 6):
        pen.ellipse(x, -13, 3, 3, CREAM)


def _sailboat(pen: Pen, colour: RGB) -> None:
    """A yacht whose sails and hull stripe are of COLOUR."""
    pen.line([(0, -14), (0, -120)], (104, 76, 56), 2.6)
    pen.polygon([(3, -116), (9, -84), (44, -24), (3, -22)], Gradient(lighter(colour, 0.22), darker(colour, 0.06)))
    pen.polygon(
        [(-3, -108), (-10, -70), (-36, -22), (-3, -22)],
        Gradient(lighter(colour, 0.38), lighter(colour, 0.04)),
    )
    for y in (-50, -76):
        pen.line([(4, y), (30 + (y + 50) * 0.55, y + 3)], darker(colour, 0.16), 1)
    pen.polygon([(-48, -18), (56, -20), (42, 0), (-38, 0)], Gradient(CREAM, darker(CREAM, 0.25)))
    pen.polygon([(-46, -15), (54, -17), (51, -11), (-44, -10)], colour)
    pen.polygon([(3, -118), (18, -123), (3, -127)], (214, 70, 56))


def _ship(pen: Pen, colour: RGB, *, lit: bool) -> None:
    """A steamer with two funnels and rows of portholes."""
    for step in range(6):
        pen.ellipse(
            -24 - step * 15,
            -104 - step * 6,
            8 + step * 2.6,
            6 + step * 1.6,
            (216, 212, 210),
            0.5 - step * 0.06,
        )
    for x in (-18, 16):
        pen.polygon(
            [(x - 8, -56), (x - 6, -92), (x + 8, -92), (x + 8, -56)],
            Gradient(lighter(colour, 0.1), darker(colour, 0.3), "across"),
        )
        pen.rect(x - 6.4, -92, 14.6, 7, INK)
    pen.rect(-46, -50, 92, 22, Gradient(CREAM, darker(CREAM, 0.15)))
    pen.rect(-34, -62, 68, 14, lighter(CREAM, 0.3))
    window = pen.bright if lit else pen
    for x in range(-40, 44, 11):
        window.ellipse(x, -40, 2.6, 2.6, LAMPLIGHT if lit else darker(GLASS, 0.5))
        window.rect(x + 2, -58, 6, 5, LAMPLIGHT if lit else darker(GLASS, 0.4))
    pen.polygon([(-74, -32), (80, -36), (66, 0), (-62, 0)], Gradient(lighter(colour, 0.14), darker(colour, 0.2)))
    pen.line([(-74, -32), (80, -36)], CREAM, 3)
    pen.polygon([(-65, -7), (69, -7), (66, 0), (-62, 0)], (150, 54, 48))
    if lit:
        pen.glow(0, -44, 62, LAMPLIGHT, 0.3)


def _breakers(stage: Stage) -> None:
    """Rolling waves with white tops in front of everything."""
    far, near = stage.air.water
    for row in range(4):
        y, reach, start = 226 + row * 19, 22 + row * 5, stage.rng.uniform(0, 6)
        crest = [(float(x), y - (5 + row) * abs(math.sin(x / reach + start)) ** 1.6) for x in range(-6, WIDTH + 7, 4)]
        stage.pen.polygon([*crest, (WIDTH, HEIGHT), (0, HEIGHT)], Gradient(mix(far, near, 0.25), near), 0.9)
        stage.pen.line(crest, lighter(far, 0.6), 1.8, 0.8)


_SUBJECTS = {
    "boat": _boats,
    "sailboat": _sailboats,
    "ship": _one_ship,
    "lighthouse": _one_lighthouse,
    "hut": _one_hut,
}
