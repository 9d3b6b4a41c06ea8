"""Lamps, clocks, chairs, books and keys indoors; kites and beach umbrellas outdoors."""

from __future__ import annotations

import math
from collections.abc import Callable

from indexer.samples.buildings import clock_face
from indexer.samples.canvas import WIDTH, Gradient
from indexer.samples.grounds import hill, meadow, sand, water
from indexer.samples.palette import CREAM, INK, LAMPLIGHT, RGB, WOOD, contrast, darker, lighter, mix
from indexer.samples.pen import Pen, arc
from indexer.samples.scenes.rooms import draw_room, lamplight
from indexer.samples.scenes.weather import umbrella_top
from indexer.samples.skies import draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw the objects of the view."""
    _OBJECTS[stage.view.subject.name](stage)


def _beach_umbrellas(stage: Stage) -> None:
    draw_sky(stage, 128)
    water(stage, 128, 196)
    sand(stage, 190)
    for x, y, scale in stage.row(256, 1.3):
        pen, ink = stage.hero.at(x, y, scale), stage.ink
        pen.shadow(20, 2, 66, 9)
        pen.polygon([(-52, -2), (-14, -9), (50, -6), (16, 4)], stage.pick((242, 232, 206), (120, 176, 190)))
        pen.line([(0, 0), (7, -92)], CREAM, 3.4)
        umbrella_top(pen.at(8, -78, 1.25, turn=5), ink)


def _kites(stage: Stage) -> None:
    draw_sky(stage, 214)
    hill(stage, 216, 10, (112, 154, 110), 0.45)
    meadow(stage, 234)
    for x, y, scale in stage.row(110, 1.5):
        lift = stage.jitter(12) if stage.view.count == 1 else stage.jitter(34)
        pen = stage.hero.at(x, y + lift, scale, turn=stage.jitter(20))
        foot = (WIDTH / 2 + (x - WIDTH / 2) * 0.4, 262)
        string = [(x, y + lift), ((x + foot[0]) / 2 + 14, (y + lift + foot[1]) / 2 + 14), foot]
        stage.pen.curve(string, CREAM if stage.air.lamps else INK, 0.9)
        _kite(pen, stage.ink)


def _kite(pen: Pen, colour: RGB) -> None:
    tail = [(6 * math.sin(step * 1.1), 52 + step * 8) for step in range(7)]
    pen.curve(tail, darker(colour, 0.3), 1.6)
    for step, (x, y) in enumerate(tail[1::2]):
        tone = lighter(colour, 0.5) if step % 2 else colour
        pen.polygon([(x, y), (x - 9, y - 5), (x - 9, y + 5)], tone)
        pen.polygon([(x, y), (x + 9, y - 5), (x + 9, y + 5)], tone)
    for side, tone in ((-1, lighter(colour, 0.2)), (1, darker(colour, 0.12))):
        pen.polygon([(0, -50), (side * 36, -14), (0, -14)], tone)
        pen.polygon([(0, 54), (side * 36, -14), (0, -14)], darker(tone, 0.12))
    pen.line([(0, -50), (0, 54)], darker(colour, 0.5), 1.6)
    pen.line([(-36, -14), (36, -14)], darker(colour, 0.5), 1.6)


def _lamp(stage: Stage) -> None:
    draw_room(stage, 214)
    x, ink = stage.side_x(), stage.ink
    lamplight(stage, x, 120, 130)
    pen = stage.hero.at(x, 250, 1.5)
    pen.shadow(6, 0, 40, 7)
    pen.bright.canvas.soft((x, 252), (110, 22), LAMPLIGHT, 0.5)
    pen.ellipse(0, -4, 26, 7, (110, 82, 62))
    pen.blob(
        [(-9, -8), (-15, -28), (-5, -48), (-4, -66), (4, -66), (5, -48), (15, -28), (9, -8)],
        Gradient((226, 206, 166), (126, 92, 66), "across"),
    )
    shade = [(-46, -62), (-25, -122), (25, -122), (46, -62)]
    pen.polygon([*shade, *arc((0, -62), 46, 8, 0, 180)], Gradient(lighter(ink, 0.12), mix(ink, LAMPLIGHT, 0.12)))
    pen.glow(0, -74, 44, mix(ink, LAMPLIGHT, 0.6), 0.4)
    for edge in ([(-25, -122), (25, -122)], arc((0, -62), 46, 8, 0, 180)):
        pen.line(edge, darker(ink, 0.3), 3)


def _clock(stage: Stage) -> None:
    draw_room(stage, 226)
    x, y = stage.side_x(), 116 + stage.jitter(6)
    stage.canvas.soft((x + 10, y + 14), (104, 104), INK, 0.45)
    clock_face(stage.hero.at(x, y), 82, stage.ink, (stage.rng.randrange(12), stage.rng.randrange(0, 60, 5)))
    for dx, tone in ((-140, (150, 120, 96)), (150, (120, 112, 118))):
        _book_lying(stage.pen.at(WIDTH / 2 + dx, 250, 0.8), tone)


def _chairs(stage: Stage) -> None:
    draw_room(stage, 212)
    for x, y, scale in stage.row(262, 1.5):
        _chair(stage.hero.at(x, y, scale, flip=stage.rng.random() < 0.5), stage.ink)


def _chair(pen: Pen, colour: RGB) -> None:
    pen.shadow(2, 0, 50, 9)
    dark = darker(colour, 0.3)
    for x, foot in ((-22, -9), (36, -9)):
        pen.line([(x, -50), (x, foot)], darker(colour, 0.45), 5)
    pen.line([(-34, 0), (-30, -50), (-38, -122)], colour, 7)
    pen.line([(-22, -54), (-22, -116)], dark, 5)
    for y in (-112, -94, -76):
        pen.line([(-37, y), (-22, y + 3)], lighter(colour, 0.15), 6)
    pen.polygon([(-36, -46), (22, -46), (42, -58), (-20, -58)], Gradient(lighter(colour, 0.3), colour))
    pen.polygon([(-36, -46), (22, -46), (22, -38), (-36, -38)], colour)
    pen.polygon([(22, -46), (42, -58), (42, -50), (22, -38)], dark)
    pen.line([(22, -40), (24, 0)], colour, 7)
    pen.line([(-31, -20), (22, -20)], dark, 3.4)


def _books(stage: Stage) -> None:
    draw_room(stage, 204)
    count = stage.view.count
    x, y = (stage.side_x() if count == 1 else WIDTH / 2 + stage.jitter(20)), 256.0
    scale = 1.75 if count < 4 else 1.5
    stage.pen.shadow(x + 6, y, 110, 13)
    for _ in range(count):
        _book_lying(stage.hero.at(x + stage.jitter(9), y, scale, flip=stage.rng.random() < 0.3), stage.ink)
        y -= 23 * scale


def _book_lying(pen: Pen, colour: RGB) -> None:
    """A closed book on its side, twenty-three units thick."""
    pen.polygon([(-52, -23), (-40, -32), (62, -32), (52, -23)], lighter(colour, 0.26))
    pen.polygon([(52, -23), (62, -32), (62, -8), (52, 0)], darker(colour, 0.5))
    pen.polygon([(52, -20), (60, -28), (60, -9), (52, -3)], darker(CREAM, 0.1))
    pen.box(-54, -23, 108, 23, Gradient(lighter(colour, 0.12), darker(colour, 0.2)), 3)
    for x in (-40, -34, 36):
        pen.rect(x, -23, 3, 23, LAMPLIGHT)
    pen.rect(-22, -15, 46, 7, mix(colour, contrast(colour), 0.6))


def _keys(stage: Stage) -> None:
    draw_room(stage, 236)
    board = stage.pen.at(WIDTH / 2, 0)
    board.shadow(4, 66, 190, 22, 0.3)
    board.box(-176, 30, 352, 26, Gradient(lighter(WOOD, 0.2), darker(WOOD, 0.2)), 5)
    for x, _, scale in stage.row(60, 1.6):
        pen = stage.hero.at(x, 46, scale)
        pen.line([(0, 0), (0, 8), (5, 10)], (206, 180, 110), 3)
        stage.canvas.soft((x + 7, 130), (26 * scale, 72 * scale), INK, 0.28)
        _key(pen, stage.ink)


def _key(pen: Pen, colour: RGB) -> None:
    """A big old key hanging by its ring from the origin."""
    for width, tone in ((13, darker(colour, 0.35)), (9, colour)):
        pen.line(arc((0, 26), 19, 19, 0, 360), tone, width)
        pen.line([(0, 48), (0, 116)], tone, width)
        for y, reach in ((112, 25), (94, 20)):
            pen.line([(0, y), (reach, y)], tone, width)
    pen.line([(-2, 50), (-2, 110)], lighter(colour, 0.5), 1.8)
    pen.box(-10, 46, 20, 8, lighter(colour, 0.12), 3)


_OBJECTS: dict[str, Callable[[Stage], None]] = {
    "beach umbrella": _beach_umbrellas,
    "kite": _kites,
    "lamp": _lamp,
    "clock": _clock,
    "chair": _chairs,
    "book": _books,
    "key": _keys,
}
