"""Trees by season, tulips, sunflowers, cacti, and flowers in a vase."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import hill, hill_line, meadow, mountains, rocks, sand, woods
from indexer.samples.nature import blossom, conifer, round_tree, sunflower, tulip
from indexer.samples.palette import CREAM, LEAF, RGB, SNOW, darker, lighter, mix
from indexer.samples.pen import Pen, symmetric
from indexer.samples.scenes.rooms import draw_room
from indexer.samples.skies import draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw the plants where they grow."""
    _PLANTS[stage.view.subject.name](stage)


def _trees(stage: Stage) -> None:
    draw_sky(stage, 180)
    colour = stage.view.colour
    grass = {"orange": (206, 166, 86), "yellow": (190, 172, 88), "white": SNOW, "pink": (140, 184, 104)}.get(
        colour, (116, 168, 78)
    )
    mountains(stage, 194, 66, (112, 130, 162), 0.62)
    hill(stage, 184, 10, mix(grass, (90, 130, 110), 0.3), 0.35)
    meadow(stage, 206, grass, flowers=colour in ("pink", "green"))
    for x, y, scale in stage.row(250, 1.95):
        pen = stage.hero.at(x, y, scale)
        if colour == "white":
            conifer(pen, (226, 234, 242), snowy=True)
            continue
        round_tree(pen, stage.rng, stage.ink)
        if colour != "green":
            _fallen(stage, x, y, scale)


def _fallen(stage: Stage, x: float, y: float, scale: float) -> None:
    """Petals or leaves on the grass under a tree."""
    for _ in range(26):
        angle, reach = stage.rng.uniform(0, math.tau), math.sqrt(stage.rng.random())
        spot = (x + 50 * scale * reach * math.cos(angle), y + 4 + 9 * scale * reach * math.sin(angle))
        stage.pen.ellipse(*spot, 2.4, 1.5, stage.ink)


def _bed(stage: Stage, figure: Callable[[Pen, RGB], None], y: float, size: float) -> None:
    """A garden with the flowers standing tall in front."""
    draw_sky(stage, 172)
    hill(stage, 168, 11, (112, 156, 98), 0.45)
    woods(stage, 184, 0.3, 0.35, count=8)
    meadow(stage, 194, flowers=False)
    for post in range(-6, WIDTH + 8, 20):
        stage.pen.rect(post, 178, 6, 34, CREAM)
        stage.pen.polygon([(post, 178), (post + 3, 172), (post + 6, 178)], CREAM)
    stage.pen.rect(0, 186, WIDTH, 4, darker(CREAM, 0.06))
    soil = hill_line(stage, 252, 3)
    stage.pen.polygon([*soil, (WIDTH, HEIGHT), (0, HEIGHT)], Gradient((134, 96, 66), (84, 58, 44)))
    for x, foot, scale in stage.row(y, size):
        figure(stage.hero.at(x, foot, scale, turn=stage.jitter(4)), stage.ink)
    for _ in range(26):
        x, foot = stage.rng.uniform(0, WIDTH), stage.rng.uniform(258, 290)
        stage.pen.curve([(x - 8, foot - 9), (x, foot), (x + 8, foot - 10)], darker(LEAF, 0.1), 2.6)


def _cacti(stage: Stage) -> None:
    draw_sky(stage, 182)
    for crest, haze in ((182, 0.4), (200, 0.15)):
        hill(stage, crest, 12, (216, 158, 104), haze)
    sand(stage, 216, (226, 180, 120))
    rocks(stage, stage.away_x(), 252, 3, 26)
    for x, y, scale in stage.row(262, 1.9):
        _cactus(stage.hero.at(x, y, scale), mix(stage.ink, LEAF, 0.15))


def _cactus(pen: Pen, colour: RGB) -> None:
    pen.shadow(6, 0, 34, 6)
    paint = Gradient(lighter(colour, 0.25), darker(colour, 0.35), "across")
    for side, low, high in ((-1, -38, -70), (1, -52, -86)):
        pen.curve(
            [(0, low), (side * 22, low - 2), (side * 27, low - 10), (side * 27, high)],
            darker(colour, 0.1),
            11,
        )
        pen.line([(side * 27 - 2, low - 12), (side * 27 - 2, high)], lighter(colour, 0.25), 1.4)
    pen.box(-12, -104, 24, 104, paint, 11)
    for x in (-6, 0, 6):
        pen.line([(x, -96), (x, -4)], darker(colour, 0.3), 1)
    for x, y in ((0, -105), (-27, -74), (27, -90)):
        blossom(pen.at(x, y, 0.62), (238, 96, 140))


def _bouquet(stage: Stage) -> None:
    draw_room(stage, 214)
    x, y = stage.side_x(), 248
    pen, ink = stage.hero.at(x, y, 1.25), stage.ink
    pen.shadow(10, 0, 54, 10)
    heads = [
        (-40, -116),
        (40, -114),
        (0, -142),
        (-24, -138),
        (26, -140),
        (-52, -92),
        (52, -90),
        (0, -108),
        (-22, -100),
        (22, -102),
    ]
    for hx, hy in heads:
        pen.curve([(0, -50), (hx * 0.4, (hy - 50) / 2), (hx, hy)], (82, 136, 74), 2.6)
        pen.blob(
            [(hx * 0.6, hy * 0.7), (hx * 0.6 + 12, hy * 0.7 - 16), (hx * 0.6 + 3, hy * 0.7 - 26)],
            (96, 152, 84),
        )
    glaze = stage.pick((226, 220, 206), (92, 132, 150), (176, 108, 82))
    outline = symmetric([(0, -66), (14, -64), (10, -50), (28, -30), (24, -4), (0, 1)])
    pen.blob(outline, Gradient(lighter(glaze, 0.3), darker(glaze, 0.35), "across"))
    pen.line([(-27, -26), (27, -26)], lighter(glaze, 0.5), 2)
    for hx, hy in heads:
        blossom(
            pen.at(hx, hy, stage.rng.uniform(1.5, 1.95), turn=stage.jitter(30)),
            ink,
            stage.rng.choice((6, 8, 9)),
        )


_PLANTS: dict[str, Callable[[Stage], None]] = {
    "tree": _trees,
    "tulip": partial(_bed, figure=tulip, y=272, size=1.85),
    "sunflower": partial(_bed, figure=sunflower, y=274, size=1.9),
    "cactus": _cacti,
    "vase": _bouquet,
}
