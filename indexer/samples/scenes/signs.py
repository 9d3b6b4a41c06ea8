"""Signs with a word and a picture on them, over a shop window or on a post."""

from __future__ import annotations

import math
from collections.abc import Callable

from indexer.samples.buildings import pane
from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import ground_colour, meadow, road, sand, water, woods
from indexer.samples.palette import CREAM, LAMPLIGHT, RGB, WOOD, contrast, darker, lighter
from indexer.samples.pen import Light, Pen, arc
from indexer.samples.scenes.towns import distant_town, street_lamp
from indexer.samples.skies import draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw the sign large, in front of where such a sign hangs."""
    word = stage.view.subject.name
    draw_sky(stage, 196)
    if word == "stop":
        _roadside(stage)
    elif word == "beach":
        _seaside(stage)
    else:
        _street(stage)


def _roadside(stage: Stage) -> None:
    woods(stage, 196, 0.6, 0.35, count=9)
    meadow(stage, 198)
    road(stage, 232, 56)
    x, ink = WIDTH / 2 + stage.jitter(26), stage.ink
    pen = stage.hero.at(x, 110, 1.12)
    pen.rect(-5, 0, 10, 150, Gradient((206, 206, 210), (120, 120, 130), "across"))
    for reach, tone in ((86, darker(ink, 0.35)), (83, CREAM), (76, ink)):
        pen.polygon(
            [
                (reach * math.cos(a), reach * math.sin(a))
                for a in (math.pi / 8 + step * math.pi / 4 for step in range(8))
            ],
            tone,
        )
    pen.text(0, 0, "STOP", 50, contrast(ink))


def _seaside(stage: Stage) -> None:
    water(stage, 150, 214)
    sand(stage, 206)
    pen, ink = stage.hero.at(WIDTH / 2 + stage.jitter(22), 0), stage.ink
    for x in (-72, 64):
        pen.rect(x, 60, 9, 196, Gradient(lighter(WOOD, 0.2), darker(WOOD, 0.3), "across"))
    shape = [(-128, 62), (100, 62), (142, 110), (100, 158), (-128, 158)]
    pen.polygon([(x + 3, y + 5) for x, y in shape], darker(ink, 0.6))
    pen.polygon(shape, Gradient(lighter(ink, 0.12), darker(ink, 0.1)))
    for y in (94, 126):
        pen.line([(-128, y), (112, y)], darker(ink, 0.25), 1.4)
    pen.text(-6, 110, "BEACH", 56, contrast(ink))


def _street(stage: Stage) -> None:
    """A shop front: the sign over a window that shows what is sold, the lamps lit by night."""
    distant_town(stage, 214, 0.5, (156, 132, 130), 90)
    wall = stage.pick((206, 178, 148), (178, 128, 104), (196, 196, 184))
    pen, lit = stage.pen, stage.air.lamps
    pen.rect(38, 26, 308, 224, Gradient(lighter(wall, 0.12), darker(wall, 0.14)))
    _bricks(stage, wall)
    pen.rect(30, 18, 324, 12, ground_colour(stage, lighter(wall, 0.3)))
    pen.rect(
        0,
        248,
        WIDTH,
        HEIGHT - 248,
        Gradient(ground_colour(stage, (176, 166, 156)), ground_colour(stage, (118, 112, 112))),
    )
    pane(pen, 66, 152, 152, 78, lit=lit)
    front = pen.bright if lit else pen
    front.rect(256, 152, 56, 96, darker(stage.ink, 0.4))
    pane(pen, 264, 160, 40, 48, lit=lit)
    for x in (86, 142, 198):
        _awning(pen, x, stage.ink)
    _board(stage)
    street_lamp(stage.pen.at(360, 258, 1.15), lit=lit)


def _bricks(stage: Stage, wall: RGB) -> None:
    for _ in range(70):
        x, y = 40 + 18 * stage.rng.randrange(17), 30 + 9 * stage.rng.randrange(24)
        stage.pen.rect(x, y, 15, 6, stage.pick(darker(wall, 0.1), lighter(wall, 0.16)), 0.7)


def _awning(pen: Pen, x: float, colour: RGB) -> None:
    for step in range(4):
        tone = lighter(colour, 0.1) if step % 2 else CREAM
        left = x - 28 + step * 14
        pen.polygon([(left, 140), (left + 14, 140), (left + 14, 160), (left, 160)], tone)
        pen.polygon(arc((left + 7, 160), 7, 5, 0, 180), tone)


def _board(stage: Stage) -> None:
    word, ink = stage.view.subject.name, stage.ink
    pen = stage.hero.at(WIDTH / 2 + stage.jitter(4), 88)
    if stage.air.lamps:
        pen = pen.lit(Light((0.94, 0.88, 0.76)))
    pen.shadow(3, 16, 178, 66, 0.4)
    pen.box(-146, -46, 292, 92, darker(ink, 0.5), 12)
    pen.box(-143, -43, 286, 86, contrast(ink), 10)
    pen.box(-139, -39, 278, 78, Gradient(lighter(ink, 0.14), darker(ink, 0.12)), 8)
    tone = contrast(ink)
    size = 60 if len(word) < 5 else 50 if len(word) < 6 else 47
    pen.text(38, 1, word.upper(), size, tone)
    _ICONS[word](pen.at(-98, 0, 1.25), tone)
    if stage.air.lamps:
        for x in (-90, 0, 90):
            pen.glow(x, -44, 60, LAMPLIGHT, 0.42)
            pen.bright.ellipse(x, -48, 5, 4, (255, 246, 206))


def _cup_icon(pen: Pen, tone: RGB) -> None:
    pen.blob([(-18, -8), (-14, 14), (0, 18), (14, 14), (18, -8)], tone)
    pen.line(arc((18, 0), 8, 7, -90, 90), tone, 3.4)
    for x in (-6, 6):
        pen.curve([(x, -14), (x - 3, -19), (x + 3, -24)], tone, 2.4)


def _loaf_icon(pen: Pen, tone: RGB) -> None:
    pen.blob([(-24, 12), (-26, -6), (0, -17), (26, -6), (24, 12), (0, 15)], tone)
    for x in (-12, 0, 12):
        pen.line([(x - 3, -8), (x + 3, 4)], contrast(tone), 2.6)


def _bed_icon(pen: Pen, tone: RGB) -> None:
    pen.line([(-24, -18), (-24, 18)], tone, 4)
    pen.box(-24, -2, 50, 12, tone, 4)
    pen.line([(25, 2), (25, 18)], tone, 4)
    pen.ellipse(-13, -8, 7, 5.5, tone)


def _book_icon(pen: Pen, tone: RGB) -> None:
    for side in (-1, 1):
        pen.polygon([(side * 2, -13), (side * 26, -18), (side * 26, 13), (side * 2, 18)], tone)
        for y in (-6, 1, 8):
            pen.line([(side * 7, y), (side * 21, y - 3)], contrast(tone), 1.6)


def _sun_icon(pen: Pen, tone: RGB) -> None:
    pen.ellipse(0, 0, 10, 10, tone)
    for step in range(8):
        pen.at(0, 0, turn=step * 45).line([(0, -15), (0, -23)], tone, 3)


def _note_icon(pen: Pen, tone: RGB) -> None:
    for x in (-12, 12):
        pen.ellipse(x - 5, 14, 7, 5.4, tone)
        pen.line([(x, 14), (x, -18)], tone, 3.2)
    pen.line([(-12, -18), (12, -18)], tone, 6)


_ICONS: dict[str, Callable[[Pen, RGB], None]] = {
    "cafe": _cup_icon,
    "open": _sun_icon,
    "bakery": _loaf_icon,
    "hotel": _bed_icon,
    "books": _book_icon,
    "music": _note_icon,
}
