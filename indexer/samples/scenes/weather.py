"""Houses, barns, tents and walkers out in the weather."""

from __future__ import annotations

import math

from indexer.samples.buildings import barn, cottage
from indexer.samples.canvas import WIDTH, Gradient, Point
from indexer.samples.grounds import hill, meadow, mountains, woods
from indexer.samples.nature import conifer, round_tree
from indexer.samples.palette import CREAM, INK, RGB, darker, lighter
from indexer.samples.pen import Pen, arc
from indexer.samples.scenes.animals import dog
from indexer.samples.skies import draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw the subject large on a meadow under its weather."""
    draw_sky(stage, 176)
    if stage.rng.random() < 0.6:
        mountains(stage, 186, 68, (96, 112, 140), 0.55)
    hill(stage, 176, 10, (104, 146, 92), 0.42)
    woods(stage, 192, 0.34, 0.35, count=stage.rng.randint(6, 11))
    meadow(stage, 200)
    x, y = stage.side_x(), 246 + stage.jitter(4)
    if stage.view.detail == "fence":
        _fence(stage, y - 16)
    elif stage.view.detail == "tree":
        _tree_beside(stage, y - 6)
    _subject(stage, x, y)


def _subject(stage: Stage, x: float, y: float) -> None:
    name, ink, lit = stage.view.subject.name, stage.ink, stage.view.setting == "storm"
    if name == "house":
        cottage(stage.hero.at(x, y, 1.4), ink, lit=lit, snowy=stage.air.snow)
    elif name == "barn":
        barn(stage.hero.at(x - 10, y, 1.35), ink, snowy=stage.air.snow)
    elif name == "tent":
        _tent(stage.hero.at(x, y, 1.35), ink)
    else:
        _walker(stage.hero.at(x, y + 12, 1.3), ink, stage.pick((62, 74, 104), (112, 70, 60), (70, 92, 84)))
        if stage.view.detail == "dog":
            dog(stage.pen.at(x + 72, y + 12, 0.5), stage.pick((150, 96, 56), (60, 54, 58)))


def _tree_beside(stage: Stage, y: float) -> None:
    pen = stage.pen.at(stage.away_x(), y, 1.15)
    if stage.air.snow:
        conifer(pen, (58, 104, 84), snowy=True)
    else:
        round_tree(pen, stage.rng, stage.pick((86, 138, 74), (196, 138, 60)))


def _fence(stage: Stage, y: float) -> None:
    for x in range(-6, WIDTH + 8, 22):
        stage.pen.rect(x, y - 22, 5, 24, CREAM)
    for rail in (-17, -7):
        stage.pen.rect(0, y + rail, WIDTH, 3.4, darker(CREAM, 0.08))


def _tent(pen: Pen, colour: RGB) -> None:
    pen.shadow(6, 0, 74, 9)
    pen.line([(-56, 0), (-74, 2)], CREAM, 1.4)
    pen.line([(-22, -82), (-74, 2)], CREAM, 1.4)
    pen.polygon(
        [(-18, -82), (34, -74), (66, -2), (26, 0)],
        Gradient(darker(colour, 0.12), darker(colour, 0.38), "across"),
    )
    pen.polygon([(-18, -84), (-60, 0), (26, 0)], Gradient(lighter(colour, 0.22), colour))
    pen.polygon([(-18, -70), (-34, 0), (4, 0)], darker(colour, 0.62))
    pen.polygon([(-18, -70), (-34, 0), (-44, 0)], lighter(colour, 0.4))
    pen.polygon([(-18, -84), (34, -76), (33, -72), (-17, -79)], lighter(colour, 0.45))


def _walker(pen: Pen, colour: RGB, coat: RGB) -> None:
    """Someone in a long COAT under a large umbrella of COLOUR."""
    pen.shadow(4, 0, 34, 6)
    for x in (-8, 9):
        pen.polygon([(x - 5, -30), (x + 5, -30), (x + 5, -4), (x - 4, -4)], darker(coat, 0.4))
        pen.box(x - 6, -7, 15, 8, INK, 3)
    pen.blob(
        [(-22, -24), (-15, -62), (-9, -74), (10, -74), (16, -60), (23, -24), (0, -21)],
        Gradient(lighter(coat, 0.12), coat, "across"),
    )
    pen.ellipse(1, -84, 10, 11, (232, 190, 158))
    pen.polygon(arc((0, -87), 11, 10, 180, 360), (82, 56, 46))
    pen.line([(16, -44), (16, -124)], (84, 62, 52), 2.6)
    pen.curve([(12, -62), (24, -50), (16, -54)], coat, 8)
    umbrella_top(pen.at(16, -96, 1.05, turn=-4), colour)
    pen.ellipse(17, -54, 4.5, 4.5, (232, 190, 158))


def umbrella_top(pen: Pen, colour: RGB) -> None:
    """An open umbrella's canopy over (0, 0), its gores shaded by turns."""
    edges = [-58, -36, -13, 13, 36, 58]
    for step, (left, right) in enumerate(zip(edges, edges[1:], strict=False)):
        tone = (
            lighter(colour, 0.12),
            colour,
            lighter(colour, 0.2),
            darker(colour, 0.1),
            darker(colour, 0.22),
        )[step]
        scallop = arc(((left + right) / 2, 0), (right - left) / 2, 6, 180, 360)
        pen.polygon([*_rib(left), *scallop, *reversed(_rib(right))], tone)
    pen.line([(0, -46), (0, -54)], darker(colour, 0.5), 3)


def _rib(reach: float) -> list[Point]:
    """The edge between two gores, from the tip of the canopy to REACH on its rim."""
    return [(reach * math.sin(step * math.pi / 16), -46 * math.cos(step * math.pi / 16)) for step in range(9)]
