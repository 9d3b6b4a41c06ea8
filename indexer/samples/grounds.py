"""What scenes stand on and lie before: hills, ranges, water, meadows, roads, sand."""

from __future__ import annotations

import math

from indexer.samples.canvas import HEIGHT, WIDTH, Gradient, Point
from indexer.samples.nature import blossom, conifer, palm, rock, round_tree
from indexer.samples.palette import CREAM, LEAF, RGB, SNOW, darker, lighter, mix
from indexer.samples.pen import Pen
from indexer.samples.stage import Stage

SAND: RGB = (234, 208, 158)
MEADOW: RGB = (116, 168, 78)


def ground_colour(stage: Stage, colour: RGB) -> RGB:
    """COLOUR, or snow where the air has snow lying."""
    return mix(colour, SNOW, 0.86) if stage.air.snow else colour


def hill_line(stage: Stage, y: float, height: float) -> list[Point]:
    """A rolling skyline across the picture, HEIGHT about its mean Y."""
    a, b = stage.rng.uniform(0, 6), stage.rng.uniform(0, 6)
    return [
        (x, y - height * (0.65 * math.sin(x / 74 + a) + 0.35 * math.sin(x / 31 + b))) for x in range(-8, WIDTH + 9, 8)
    ]


def hill(stage: Stage, y: float, height: float, colour: RGB, haze: float) -> list[Point]:
    """One rolling layer from Y down to the foot of the picture; gives its skyline."""
    crest = hill_line(stage, y, height)
    colour = ground_colour(stage, colour)
    shape = [*crest, (WIDTH, HEIGHT), (0, HEIGHT)]
    stage.far(haze).polygon(shape, Gradient(lighter(colour, 0.16), darker(colour, 0.16)))
    return crest


def mountain(pen: Pen, stage: Stage, width: float, height: float, colour: RGB, cap: float) -> None:
    """A peak on (0, 0) with a shaded flank, and snow over its top CAP of the height."""
    left = [(-width * (1 - t) / 2 + stage.jitter(width * 0.015), -height * t) for t in (0, 0.22, 0.45, 0.7, 0.86)]
    right = [(width * (1 - t) / 2 + stage.jitter(width * 0.015), -height * t) for t in (0.86, 0.66, 0.42, 0.2, 0)]
    spine = [(stage.jitter(width * 0.05), -height * t) for t in (0.78, 0.56, 0.34, 0.14)]
    peak = (0.0, -height)
    pen.polygon([*left, peak, *right], Gradient(colour, mix(colour, stage.air.haze, 0.4)))
    pen.polygon([peak, *spine, (width * 0.06, 0), *reversed(right)], darker(colour, 0.3), 0.8)
    if cap:
        teeth = [
            (width * cap * (0.5 - step / 6), -height * (1 - cap * (1.15 if step % 2 else 0.75))) for step in range(7)
        ]
        pen.polygon([peak, *teeth], SNOW)
        pen.polygon([peak, spine[0], *teeth[2::-1]], mix(SNOW, (130, 150, 196), 0.55))


def mountains(stage: Stage, y: float, height: float, colour: RGB, haze: float, cap: float = 0.34) -> None:
    """A range along Y, its peaks overlapping."""
    count = stage.rng.randint(3, 5)
    order = list(range(count))
    stage.rng.shuffle(order)
    for step in order:
        tall = height * stage.rng.uniform(0.6, 1)
        x = WIDTH * (step + 0.5) / count + stage.jitter(24)
        mountain(stage.far(haze).at(x, y), stage, tall * stage.rng.uniform(1.7, 2.2), tall, colour, cap)


def water(stage: Stage, top: float, bottom: float = HEIGHT) -> None:
    """Open water with the sun's or the moon's path on it and strokes that widen towards us."""
    pen, rng = Pen(stage.canvas), stage.rng
    far, near = stage.air.water
    stage.canvas.backdrop((far, mix(far, near, 0.6), near), top, bottom)
    shine = lighter(far, 0.45)
    if stage.view.setting in ("sunset", "dawn", "night", "day"):
        _glitter(stage, top, bottom, (236, 232, 206) if stage.air.lamps else lighter(far, 0.75))
    for _ in range(46):
        depth = rng.random() ** 1.4
        x, y = rng.uniform(0, WIDTH), top + 3 + depth * (bottom - top)
        reach = 5 + 22 * depth
        tone = shine if rng.random() < 0.55 else darker(near, 0.25)
        pen.curve(
            [(x - reach, y), (x - reach / 2, y - 1.5), (x, y), (x + reach / 2, y - 1.5), (x + reach, y)],
            tone,
            0.7 + depth,
            0.4,
        )


def _glitter(stage: Stage, top: float, bottom: float, colour: RGB) -> None:
    rows = int((bottom - top) / 5)
    for step in range(rows):
        y, reach = top + 3 + step * 5, 11 + 22 * stage.rng.random() * (0.4 + step / rows)
        x = stage.sun[0] + stage.jitter(5 + 9 * step / rows)
        Pen(stage.canvas).line([(x - reach, y), (x + reach, y)], colour, 1 + 1.2 * step / rows, 0.7 - 0.4 * step / rows)


def shore_hills(stage: Stage, horizon: float) -> None:
    """Pale land along a sea's horizon."""
    for haze, height in ((0.72, 15), (0.55, 8)):
        y = horizon - stage.rng.uniform(0, 6)
        crest = [(x, min(horizon, py)) for x, py in hill_line(stage, y, height)]
        stage.far(haze).polygon([*crest, (WIDTH + 8, horizon), (-8, horizon)], (74, 104, 118))


def meadow(stage: Stage, y: float, colour: RGB = MEADOW, *, flowers: bool = True) -> None:
    """Grass from Y down, with tufts, and flowers where there is no snow."""
    rng, green = stage.rng, ground_colour(stage, colour)
    crest = hill_line(stage, y, 3)
    stage.pen.polygon([*crest, (WIDTH, HEIGHT), (0, HEIGHT)], Gradient(lighter(green, 0.2), darker(green, 0.12)))
    for _ in range(90):
        depth = rng.random()
        x, foot, tall = rng.uniform(0, WIDTH), y + 8 + depth * (HEIGHT - y), 3 + 6 * depth
        blade = darker(green, 0.14) if rng.random() < 0.5 else lighter(green, 0.25)
        stage.pen.line([(x, foot), (x + stage.jitter(3), foot - tall)], blade, 1.1)
    if flowers and not stage.air.snow:
        petals = stage.pick((246, 240, 220), (240, 196, 80), (226, 120, 120))
        for _ in range(16):
            depth = rng.random()
            blossom(
                stage.pen.at(rng.uniform(0, WIDTH), y + 12 + depth * (HEIGHT - y), 0.2 + 0.25 * depth),
                petals,
                5,
            )


def sand(stage: Stage, y: float, colour: RGB = SAND) -> None:
    """A beach or a desert floor from Y down, with ripples and pebbles."""
    rng, colour = stage.rng, ground_colour(stage, colour)
    stage.pen.polygon(
        [*hill_line(stage, y, 3), (WIDTH, HEIGHT), (0, HEIGHT)],
        Gradient(lighter(colour, 0.25), darker(colour, 0.12)),
    )
    for _ in range(22):
        x, foot, reach = rng.uniform(0, WIDTH), rng.uniform(y + 10, HEIGHT), rng.uniform(8, 34)
        stage.pen.curve([(x - reach, foot), (x, foot - 2.5), (x + reach, foot)], darker(colour, 0.16), 1.1, 0.5)
    for _ in range(14):
        stage.pen.ellipse(rng.uniform(0, WIDTH), rng.uniform(y + 10, HEIGHT), 2, 1.3, darker(colour, 0.3))


def road(stage: Stage, y: float, height: float = 46) -> None:
    """A road seen from its side, its upper edge at Y, with a dashed line."""
    asphalt = mix((98, 96, 104), SNOW, 0.3 if stage.air.snow else 0)
    stage.pen.rect(0, y - 4, WIDTH, 4, ground_colour(stage, (196, 186, 164)))
    stage.pen.rect(0, y, WIDTH, height, Gradient(lighter(asphalt, 0.14), darker(asphalt, 0.15)))
    start = stage.rng.uniform(-40, 0)
    for step in range(9):
        stage.pen.rect(start + step * 52, y + height * 0.6, 28, 3.2, CREAM)
    if stage.view.setting == "rain":
        for _ in range(9):
            stage.canvas.soft(
                (stage.rng.uniform(0, WIDTH), y + height * stage.rng.random()), (34, 4), (214, 224, 230), 0.6
            )


def woods(stage: Stage, y: float, scale: float, haze: float, colour: RGB = (62, 108, 70), count: int = 9) -> None:
    """A row of trees along Y, firs and round ones."""
    firs = stage.rng.random() < 0.5
    for step in range(count):
        x = WIDTH * (step + stage.rng.random()) / count
        pen = stage.far(haze).at(x, y + stage.jitter(3), scale * stage.rng.uniform(0.75, 1.2))
        if firs or stage.air.snow:
            conifer(pen, colour, snowy=stage.air.snow)
        else:
            round_tree(pen, stage.rng, ground_colour(stage, mix(colour, LEAF, 0.5)))


def rocks(stage: Stage, x: float, y: float, count: int, spread: float) -> None:
    """COUNT boulders around (X, Y)."""
    for _ in range(count):
        rock(stage.pen.at(x + stage.jitter(spread), y + stage.jitter(4), stage.rng.uniform(0.4, 1)))


def islet(stage: Stage, x: float, y: float, scale: float, haze: float = 0.25) -> None:
    """A small island with palms and a sandy edge on the water line Y."""
    pen = stage.far(haze).at(x, y, scale)
    pen.blob([(-52, 0), (-34, -7), (0, -10), (36, -7), (54, 0), (0, 4)], SAND)
    pen.blob([(-36, -6), (-20, -20), (4, -24), (26, -16), (38, -6), (0, -3)], Gradient(LEAF, darker(LEAF, 0.3)))
    palm(pen.at(-12, -18, 0.72))
    palm(pen.at(12, -18, 0.6, flip=True))
