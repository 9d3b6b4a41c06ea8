"""Terraces, towers, bridges, windmills and skylines."""

from __future__ import annotations

from functools import partial

from indexer.samples.buildings import clock_tower, town_house, windmill
from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import (
    MEADOW,
    ground_colour,
    hill,
    hill_line,
    meadow,
    mountains,
    shore_hills,
    water,
    woods,
)
from indexer.samples.nature import bush, round_tree, tulip
from indexer.samples.palette import CREAM, INK, LAMPLIGHT, LEAF, RGB, darker, lighter, mix
from indexer.samples.pen import Pen, symmetric
from indexer.samples.skies import draw_birds, draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw one view of a town."""
    _TOWNS[stage.view.subject.name](stage)
    if stage.view.detail == "birds":
        draw_birds(stage, 40)


def street_lamp(pen: Pen, *, lit: bool) -> None:
    """A lamp post a hundred units tall, with its pool of light on the ground."""
    pen.line([(0, 0), (0, -84)], INK, 3.2)
    pen.rect(-5, -4, 10, 4, INK)
    pen.polygon([(-7, -86), (7, -86), (5, -100), (-5, -100)], LAMPLIGHT if lit else lighter(LAMPLIGHT))
    pen.polygon([(-8, -100), (8, -100), (0, -107)], INK)
    if lit:
        pen.bright.polygon([(-6, -87), (6, -87), (5, -99), (-5, -99)], (255, 246, 200))
        pen.glow(0, -92, 46, LAMPLIGHT, 0.7)
        pen.canvas.soft(pen.at(0, 4).matrix[2::3], (56, 13), LAMPLIGHT, 0.5)


def distant_town(stage: Stage, y: float, haze: float, colour: RGB, tall: float) -> None:
    """A far row of roofs and blocks along Y."""
    x = -8.0
    pen = stage.far(haze)
    while x < WIDTH:
        wide, high = stage.rng.uniform(18, 40), tall * stage.rng.uniform(0.45, 1)
        tone = stage.pick(colour, darker(colour, 0.15), lighter(colour, 0.15))
        pen.rect(x, y - high, wide, high, Gradient(tone, mix(tone, stage.air.haze, 0.3)))
        if stage.rng.random() < 0.5 and tall < 100:
            pen.polygon(
                [(x - 2, y - high), (x + wide / 2, y - high - wide * 0.4), (x + wide + 2, y - high)],
                darker(tone, 0.2),
            )
        _far_windows(stage, x, y, wide, high)
        x += wide + 1


def _far_windows(stage: Stage, x: float, y: float, wide: float, high: float) -> None:
    lit = stage.air.lamps
    pen = stage.pen.bright if lit else stage.far(0.5)
    for column in range(int(wide // 9)):
        for row in range(int(high // 13)):
            if stage.rng.random() < 0.6:
                pen.rect(
                    x + 3 + column * 9,
                    y - high + 5 + row * 13,
                    4,
                    5.5,
                    LAMPLIGHT if lit else (92, 112, 136),
                    0.75,
                )


def _terrace(stage: Stage) -> None:
    draw_sky(stage, 190)
    distant_town(stage, 206, 0.6, (150, 128, 126), 62)
    stage.pen.rect(0, 206, WIDTH, 34, ground_colour(stage, (204, 192, 172)))
    count = stage.view.count
    scale = {2: 1.5, 3: 1.42, 4: 1.28, 5: 1.1}[count]
    for step in range(count):
        x = WIDTH / 2 + (step - (count - 1) / 2) * 60 * scale
        pen = stage.hero.at(x, 232, scale)
        pen.shadow(3, 0, 34, 6)
        town_house(
            pen,
            stage.rng,
            stage.ink,
            stage.rng.choice((72, 84, 98)),
            lit=stage.air.lamps,
            snowy=stage.air.snow,
        )
    paving = ground_colour(stage, (148, 140, 138))
    stage.pen.rect(0, 234, WIDTH, HEIGHT, Gradient(lighter(paving, 0.16), darker(paving, 0.16)))
    for row in range(5):
        y = 240 + row * row * 2.6 + row * 3
        stage.pen.line([(0, y), (WIDTH, y)], darker(paving, 0.2), 1, 0.5)
    for x in (0.045, 0.955):
        street_lamp(stage.pen.at(WIDTH * x, 246, 1), lit=stage.air.lamps)


def _tower(stage: Stage) -> None:
    draw_sky(stage, 196)
    mountains(stage, 196, 50, (110, 126, 150), 0.66)
    distant_town(stage, 214, 0.42, (186, 142, 112), 56)
    woods(stage, 224, 0.34, 0.2, count=8)
    x = stage.side_x()
    meadow(stage, 224)
    clock_tower(stage.hero.at(x, 256, 1.06), stage.ink, lit=stage.air.lamps, snowy=stage.air.snow)
    for dx in (-44, 42, -60):
        bush(stage.pen.at(x + dx, 260, 0.9), ground_colour(stage, LEAF))


def _bridge(stage: Stage) -> None:
    draw_sky(stage, 160)
    mountains(stage, 160, 54, (104, 122, 150), 0.62)
    shore_hills(stage, 162)
    water(stage, 160)
    ink, deck = stage.ink, 190 + stage.jitter(5)
    for tone, drop, pen in (
        (darker(ink, 0.3), 0, stage.hero.veiled(stage.air.water[1], 0.6)),
        (ink, 1, stage.hero),
    ):
        _span(pen.at(0, deck + (0 if drop else 44), stretch=1 if drop else -0.5), tone)
        if not drop:
            stage.canvas.ripple(deck + 40, HEIGHT, 1.2)
    if stage.view.detail == "boat":
        stage.afloat(WIDTH * 0.5 + stage.jitter(30), 250, 0.62, partial(_rowing_boat, colour=(206, 84, 56)))


def _span(pen: Pen, colour: RGB) -> None:
    """A suspension bridge right across the picture, its deck at y = 0."""
    towers = (WIDTH * 0.27, WIDTH * 0.73)
    for x in towers:
        for dx in (-10, 6):
            pen.rect(x + dx, -104, 6, 152, Gradient(lighter(colour, 0.2), darker(colour, 0.15), "across"))
        for tie in (-98, -66, -34):
            pen.rect(x - 10, tie, 22, 6, colour)
        pen.rect(x - 17, 38, 36, 12, (128, 118, 116))
    for start, end in ((-WIDTH * 0.19, towers[0]), towers, (towers[1], WIDTH * 1.19)):
        cable = [(start + (end - start) * t / 16, -102 + 92 * (1 - (t / 8 - 1) ** 2)) for t in range(17)]
        for x, y in cable[1:-1]:
            pen.line([(x, y), (x, 0)], lighter(colour, 0.1), 1)
        pen.line(cable, colour, 3.4)
    pen.rect(-10, -2, WIDTH + 20, 11, Gradient(lighter(colour, 0.1), darker(colour, 0.3)))


def _rowing_boat(pen: Pen, colour: RGB) -> None:
    pen.blob(
        [(-50, -22), (0, -14), (52, -24), (38, 0), (-36, 0)],
        Gradient(lighter(colour, 0.1), darker(colour, 0.3)),
    )
    pen.ellipse(0, -40, 7, 8, (232, 190, 158))
    pen.blob([(-10, -16), (-8, -32), (8, -32), (11, -16)], CREAM)
    pen.line([(0, -26), (34, -2)], (120, 84, 58), 2.6)


def _mill(stage: Stage) -> None:
    draw_sky(stage, 178)
    hill(stage, 180, 6, (112, 150, 108), 0.5)
    woods(stage, 190, 0.24, 0.45, count=12)
    meadow(stage, 196, MEADOW, flowers=False)
    x = stage.side_x()
    windmill(stage.hero.at(x, 240, 1.28), stage.ink, stage.rng.uniform(15, 75), lit=stage.air.lamps)
    if stage.view.detail == "tulips":
        for row in range(3):
            for step in range(24 - row * 4):
                colour = ((216, 56, 52), (244, 196, 60), (226, 120, 160))[row]
                tulip(
                    stage.pen.at(step * (17 + row * 4) + stage.jitter(4), 262 + row * 14, 0.2 + row * 0.05),
                    colour,
                )
    else:
        _canal(stage)


def _canal(stage: Stage) -> None:
    far, near = stage.air.water
    bank = [(x, y) for x, y in hill_line(stage, 254, 2)]
    stage.pen.bright.polygon([*bank, (WIDTH, 282), (0, 282)], Gradient(far, near))
    for _ in range(12):
        x, y = stage.rng.uniform(0, WIDTH), stage.rng.uniform(259, 279)
        stage.pen.line([(x - 14, y), (x + 14, y)], lighter(far, 0.5), 1.2, 0.5)


def _skyline(stage: Stage) -> None:
    stage.lift_dark()
    draw_sky(stage, 190)
    ink = mix(stage.ink, (120, 120, 140), 0.12)
    for haze, tall, tone in ((0.6, 128, lighter(ink, 0.15)), (0.25, 112, ink), (0.0, 74, darker(ink, 0.2))):
        distant_town(stage, 204, haze, tone, tall)
    _spire(stage, stage.hero.at(WIDTH * stage.rng.uniform(0.3, 0.7), 204), ink)
    water(stage, 204)
    stage.canvas.mirror(204, 92, 54, 0.4)
    stage.canvas.ripple(204, HEIGHT, 1.2)
    round_tree(stage.pen.at(WIDTH * 0.05, 288, 0.7), stage.rng, (64, 104, 70))


def _spire(stage: Stage, pen: Pen, colour: RGB) -> None:
    outline = symmetric([(0, -178), (10, -146), (10, -132), (17, -120), (17, 0)])
    pen.polygon(outline, Gradient(lighter(colour, 0.15), darker(colour, 0.1), "across"))
    _far_windows(stage, pen.matrix[2] - 14, pen.matrix[5], 28, 112)


_TOWNS = {"houses": _terrace, "tower": _tower, "bridge": _bridge, "windmill": _mill, "skyline": _skyline}
