"""Cats, dogs, birds, fish, sheep, cows, horses, rabbits and ducks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from indexer.samples.canvas import WIDTH, Gradient, Point
from indexer.samples.grounds import hill, meadow, mountains, sand, water, woods
from indexer.samples.nature import palm, round_tree
from indexer.samples.palette import CREAM, INK, LEAF, RGB, darker, lighter, mix
from indexer.samples.pen import Pen
from indexer.samples.scenes.fish import draw_fish
from indexer.samples.skies import draw_sky
from indexer.samples.stage import Stage

_NOSE: RGB = (226, 140, 140)


def draw(stage: Stage) -> None:
    """Draw the animals where they live."""
    name = stage.view.subject.name
    if name == "fish":
        draw_fish(stage)
        return
    figure, size = _FIGURES[name]
    if name == "duck":
        _pond(stage)
    else:
        _PLACES[stage.view.setting](stage)
    places = stage.row(236, size)
    if name == "bird":
        places = [(x, 206.0, scale) for x, _, scale in places]
        _bough(stage, [x for x, _, _ in places], 206, places[0][2])
    for x, y, scale in places:
        flip, ink = stage.rng.random() < 0.5, stage.ink
        if name == "duck":
            stage.afloat(x, y - 20, scale, partial(duck, colour=ink), flip=flip)
        else:
            figure(stage.hero.at(x, y + (0 if name == "bird" else 14), scale, flip=flip), ink)


def _pasture(stage: Stage) -> None:
    draw_sky(stage, 164)
    if stage.rng.random() < 0.5:
        mountains(stage, 176, 60, (108, 128, 158), 0.62)
    hill(stage, 166, 11, (118, 160, 92), 0.45)
    woods(stage, 180, 0.28, 0.35, count=stage.rng.randint(5, 10))
    meadow(stage, 188)


def _seaside(stage: Stage) -> None:
    draw_sky(stage, 140)
    water(stage, 140, 192)
    sand(stage, 186)
    palm(stage.pen.at(stage.away_x(), 204, 1.2, flip=stage.rng.random() < 0.5))


def _autumn(stage: Stage) -> None:
    draw_sky(stage, 160)
    hill(stage, 160, 10, (196, 142, 74), 0.4)
    for step in range(7):
        leaves = stage.pick((222, 122, 44), (206, 72, 44), (236, 176, 60))
        x = WIDTH * (step + stage.rng.random()) / 7
        round_tree(stage.far(0.15).at(x, 194 + stage.jitter(5), stage.rng.uniform(0.75, 1.15)), stage.rng, leaves)
    meadow(stage, 194, (196, 152, 78), flowers=False)
    for _ in range(90):
        depth = stage.rng.random()
        leaf = stage.pick((222, 112, 40), (200, 66, 42), (240, 186, 64))
        stage.pen.ellipse(stage.rng.uniform(0, WIDTH), 204 + 84 * depth, 1.4 + 2.2 * depth, 1 + 1.3 * depth, leaf)


def _pond(stage: Stage) -> None:
    draw_sky(stage, 118)
    hill(stage, 122, 9, (112, 156, 92), 0.4)
    woods(stage, 136, 0.4, 0.3, count=8)
    meadow(stage, 138)
    water(stage, 156)
    for x in (0.03, 0.07, 0.93, 0.97):
        for step in range(4):
            foot = WIDTH * x + stage.jitter(8)
            top = 196 - step * 9 + stage.jitter(6)
            stage.pen.line([(foot, 262), (foot + stage.jitter(5), top)], darker(LEAF, 0.15), 2)
            stage.pen.line([(foot, top + 4), (foot, top - 9)], (112, 70, 44), 4.4)


def _bough(stage: Stage, perches: Sequence[float], y: float, scale: float) -> None:
    """A leafy branch that reaches in from the nearer edge, past every one of PERCHES at height Y."""
    pen, (first, last) = stage.pen, (min(perches) - 50 * scale, max(perches) + 50 * scale)
    ahead = sum(perches) < WIDTH / 2 * len(perches)
    root, tip = (-12.0, min(last, WIDTH - 16)) if ahead else (WIDTH + 12.0, max(first, 16))
    middle = (root + tip) / 2
    for width, tone in ((9.0, (84, 58, 46)), (6.0, (124, 88, 62))):
        pen.curve([(root, y + 26), (middle, y + 4), (tip, y + 3)], tone, width)
    foliage = {"autumn": (206, 112, 48), "snow": (224, 232, 240)}.get(stage.view.setting, LEAF)
    for _ in range(11):
        spot = stage.rng.uniform(0, 1)
        x = root + (tip - root) * spot
        leaf = pen.at(x, y + 5 + 18 * (1 - spot) ** 2, 1.1, turn=stage.jitter(50) + stage.rng.choice((0, 180)))
        leaf.blob([(0, 0), (7, -10), (0, -24), (-7, -10)], Gradient(lighter(foliage, 0.15), darker(foliage, 0.2)))


def _eye(pen: Pen, x: float, y: float, size: float = 2.6) -> None:
    pen.ellipse(x, y, size, size * 1.1, INK)
    pen.ellipse(x + size * 0.3, y - size * 0.4, size * 0.35, size * 0.35, CREAM)


def _fur(colour: RGB) -> Gradient:
    return Gradient(lighter(colour, 0.16), darker(colour, 0.2))


def cat(pen: Pen, colour: RGB) -> None:
    """A sitting cat, facing us."""
    pen.shadow(2, 0, 40, 7)
    pen.curve([(18, -8), (44, -8), (50, -30), (40, -46)], darker(colour, 0.14), 9)
    pen.blob(
        [(-24, 0), (-27, -22), (-18, -46), (-8, -58), (10, -58), (19, -46), (27, -20), (24, 0), (0, 2)],
        _fur(colour),
    )
    pen.blob([(-10, -6), (-11, -34), (0, -48), (11, -34), (10, -6)], lighter(colour, 0.26))
    for x in (-8, 8):
        pen.line([(x, -26), (x, -4)], lighter(colour, 0.1), 9)
        pen.ellipse(x, -3, 7, 4.4, lighter(colour, 0.4))
    for side in (-1, 1):
        pen.polygon([(side * 5, -86), (side * 19, -104), (side * 22, -74)], darker(colour, 0.08))
        pen.polygon([(side * 9, -85), (side * 17, -97), (side * 19, -78)], _NOSE)
    pen.ellipse(0, -72, 23, 19, _fur(colour))
    pen.ellipse(0, -64, 10, 7, lighter(colour, 0.42))
    for side in (-1, 1):
        pen.ellipse(side * 9, -75, 5, 5.2, (236, 206, 90))
        pen.ellipse(side * 9, -75, 2, 4.6, INK)
        for tilt in (-3, 2):
            pen.line([(side * 8, -64), (side * 27, -65 + tilt)], CREAM if max(colour) < 150 else INK, 0.7)
    pen.polygon([(-3, -68), (3, -68), (0, -64)], _NOSE)


def _quadruped(pen: Pen, colour: RGB, torso: Sequence[Point], legs: Sequence[float], hoof: RGB, thick: float) -> None:
    """A standing body: far legs in shade, TORSO, near legs."""
    pen.shadow(0, 0, 58, 8)
    for step, x in enumerate(legs):
        far = step % 2 == 0
        tone = darker(colour, 0.3) if far else darker(colour, 0.08)
        pen.polygon([(x - thick, -46), (x + thick, -46), (x + thick * 0.55, 0), (x - thick * 0.55, 0)], tone)
        pen.rect(x - thick * 0.65, -5, thick * 1.4, 5, hoof)
    pen.blob(torso, _fur(colour))


def dog(pen: Pen, colour: RGB) -> None:
    """A standing dog with a red collar."""
    pen.curve([(-40, -52), (-54, -62), (-56, -80)], colour, 7)
    torso = [(-44, -40), (-42, -56), (-10, -60), (26, -64), (40, -56), (36, -36), (0, -32)]
    _quadruped(pen, colour, torso, (-38, -30, 22, 32), lighter(colour, 0.3), 6.5)
    pen.blob([(24, -52), (28, -76), (44, -76), (44, -50)], colour)
    pen.blob([(26, -78), (32, -96), (50, -98), (60, -84), (76, -78), (74, -68), (52, -64), (34, -66)], _fur(colour))
    pen.blob([(30, -94), (40, -92), (38, -66), (27, -62), (23, -76)], darker(colour, 0.3))
    pen.ellipse(75, -77, 4.2, 3.6, INK)
    _eye(pen, 54, -85)
    pen.line([(26, -62), (43, -58)], (206, 52, 46), 5)


def sheep(pen: Pen, colour: RGB) -> None:
    """A woolly sheep."""
    face = darker(mix(colour, (70, 58, 58), 0.75), 0.1)
    _quadruped(pen, face, [(-30, -40), (30, -40), (30, -30), (-30, -30)], (-24, -15, 17, 26), INK, 4.4)
    wool = [(step, 34 * math.cos(step * 0.63), -46 + 19 * math.sin(step * 0.63)) for step in range(10)]
    for _, x, y in wool:
        pen.ellipse(x, y + 2, 16, 14, darker(colour, 0.2))
    pen.ellipse(0, -47, 40, 23, colour)
    for step, x, y in wool:
        pen.ellipse(x * 0.95, y - 2, 13, 11, lighter(colour, 0.3) if step > 5 else colour)
    pen.blob([(36, -68), (50, -72), (60, -58), (57, -44), (46, -42), (37, -54)], face)
    pen.blob([(38, -66), (27, -66), (24, -58), (36, -59)], darker(face, 0.3))
    for x in (36, 45):
        pen.ellipse(x, -71, 8, 6.5, lighter(colour, 0.1))
    _eye(pen, 50, -61, 2.2)


def cow(pen: Pen, colour: RGB) -> None:
    """A cow with patches, cream ones on dark hide and dark ones on white."""
    patch = darker(colour, 0.75) if min(colour) > 200 else CREAM
    pen.curve([(-52, -70), (-60, -54), (-57, -34)], darker(colour, 0.2), 3)
    pen.ellipse(-57, -32, 4, 6, darker(colour, 0.4))
    torso = [(-54, -44), (-54, -76), (-20, -80), (30, -80), (46, -70), (44, -42), (0, -36)]
    _quadruped(pen, colour, torso, (-46, -37, 28, 38), INK, 7)
    pen.blob([(-40, -78), (-22, -78), (-14, -62), (-30, -54), (-44, -62)], patch)
    pen.blob([(6, -78), (22, -76), (18, -60), (4, -64)], patch)
    pen.ellipse(-20, -38, 9, 6, _NOSE)
    pen.blob([(36, -74), (46, -92), (64, -92), (72, -76), (78, -62), (66, -54), (52, -60), (42, -58)], _fur(colour))
    pen.ellipse(71, -61, 9.5, 7.5, _NOSE)
    pen.ellipse(75, -62, 1.6, 2, INK)
    pen.curve([(48, -92), (46, -101), (52, -105)], CREAM, 3.6)
    pen.blob([(46, -90), (34, -92), (32, -85), (44, -83)], darker(colour, 0.25))
    _eye(pen, 61, -82)


def horse(pen: Pen, colour: RGB) -> None:
    """A standing horse with a dark mane."""
    mane = darker(colour, 0.6) if min(colour) < 200 else (196, 178, 150)
    pen.blob([(-46, -78), (-60, -74), (-66, -46), (-60, -28), (-52, -48)], mane)
    torso = [(-50, -52), (-50, -76), (-20, -80), (16, -76), (38, -84), (46, -66), (36, -48), (0, -46)]
    _quadruped(pen, colour, torso, (-44, -34, 26, 35), INK, 6)
    pen.blob([(20, -72), (36, -96), (48, -116), (60, -110), (56, -90), (44, -62)], _fur(colour))
    pen.blob([(46, -118), (60, -122), (72, -108), (86, -94), (80, -86), (62, -92), (52, -98)], _fur(colour))
    pen.blob([(18, -78), (28, -104), (46, -124), (56, -120), (44, -106), (34, -82)], mane)
    pen.polygon([(50, -118), (54, -132), (60, -119)], darker(colour, 0.15))
    _eye(pen, 62, -110)
    pen.ellipse(81, -92, 1.5, 1.5, INK)


def rabbit(pen: Pen, colour: RGB) -> None:
    """A sitting rabbit with upright ears."""
    pen.shadow(0, 0, 38, 7)
    pen.ellipse(-32, -14, 9, 9, lighter(colour, 0.5))
    pen.blob([(-32, -2), (-34, -26), (-14, -44), (10, -42), (24, -24), (24, -2), (0, 1)], _fur(colour))
    pen.ellipse(-14, -14, 17, 14, darker(colour, 0.07))
    pen.ellipse(-10, -3, 15, 5, lighter(colour, 0.2))
    pen.ellipse(20, -4, 9, 5, lighter(colour, 0.2))
    for x, lean in ((12, -12), (24, 8)):
        ear = pen.at(x, -64, turn=lean)
        ear.ellipse(0, -20, 6.5, 24, darker(colour, 0.06))
        ear.ellipse(0, -19, 3, 17, _NOSE)
    pen.ellipse(20, -54, 19, 17, _fur(colour))
    pen.ellipse(28, -48, 9, 7, lighter(colour, 0.4))
    pen.ellipse(35, -51, 3, 2.3, _NOSE)
    _eye(pen, 25, -58, 3)


def bird(pen: Pen, colour: RGB) -> None:
    """A perching songbird; its feet are on the origin."""
    for x in (-3, 5):
        pen.line([(x, -8), (x, 0)], (150, 98, 56), 2.2)
    pen.polygon([(-18, -22), (-58, 0), (-52, 8), (-8, -10)], darker(colour, 0.35))
    pen.blob([(-26, -18), (-14, -40), (10, -54), (28, -40), (24, -16), (4, -6)], _fur(colour))
    pen.blob([(6, -10), (24, -18), (28, -34), (14, -28)], lighter(colour, 0.55))
    pen.ellipse(20, -54, 17, 16, _fur(colour))
    pen.blob([(6, -38), (-8, -40), (-40, -8), (-14, -12), (4, -22)], darker(colour, 0.25))
    pen.polygon([(35, -58), (50, -52), (35, -48)], (240, 166, 50))
    _eye(pen, 25, -57, 3)


def duck(pen: Pen, colour: RGB) -> None:
    """A duck afloat, its water line on y = 0."""
    pen.blob([(-44, -6), (-54, -30), (-34, -28), (0, -32), (26, -28), (36, -12), (26, 0), (-28, 0)], _fur(colour))
    pen.blob([(12, -20), (16, -46), (34, -46), (34, -18)], colour)
    pen.ellipse(27, -52, 16, 15, _fur(colour))
    pen.blob([(40, -56), (58, -49), (56, -44), (40, -44)], (240, 146, 40))
    pen.blob([(-34, -22), (-6, -28), (14, -16), (-8, -6), (-28, -8)], darker(colour, 0.18))
    _eye(pen, 32, -56, 3)


_PLACES: dict[str, Callable[[Stage], None]] = {
    "meadow": _pasture,
    "snow": _pasture,
    "night": _pasture,
    "beach": _seaside,
    "autumn": _autumn,
}
_FIGURES: dict[str, tuple[Callable[[Pen, RGB], None], float]] = {
    "cat": (cat, 1.35),
    "dog": (dog, 1.3),
    "bird": (bird, 1.75),
    "sheep": (sheep, 1.4),
    "cow": (cow, 1.22),
    "horse": (horse, 1.1),
    "rabbit": (rabbit, 1.5),
    "duck": (duck, 1.45),
}
