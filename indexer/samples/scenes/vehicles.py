"""Cars, buses, trucks, trains, bicycles, balloons and planes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from indexer.samples.canvas import WIDTH, Gradient
from indexer.samples.grounds import hill, meadow, mountains, road, sand, water, woods
from indexer.samples.nature import conifer, palm, rock, round_tree
from indexer.samples.palette import CREAM, GLASS, INK, LAMPLIGHT, RGB, darker, lighter
from indexer.samples.pen import Pen, arc
from indexer.samples.scenes.towns import distant_town, street_lamp
from indexer.samples.skies import draw_sky
from indexer.samples.stage import Stage

_GROUND = 196


def draw(stage: Stage) -> None:
    """Draw the surroundings, then the vehicle on its road or in its sky."""
    draw_sky(stage, 178)
    _AWAY[stage.view.detail](stage)
    name = stage.view.subject.name
    if name == "balloon":
        figure = partial(balloon, colour=stage.ink, lit=stage.air.lamps)
        _in_the_air(stage, figure, 98, 1.14, tilt=0)
    elif name == "plane":
        _in_the_air(stage, partial(_plane, colour=stage.ink), 100, 1.2, tilt=-7)
    else:
        _on_the_road(stage, _WHEELED[name])


def _in_the_air(stage: Stage, figure: Callable[[Pen], None], y: float, size: float, tilt: float) -> None:
    flip = stage.rng.random() < 0.5 if tilt else False
    for x, foot, scale in stage.row(y, size):
        lift = 0 if stage.view.count == 1 else stage.jitter(34)
        figure(stage.hero.at(x, foot + lift, scale, flip=flip, turn=-tilt if flip else tilt))


def _on_the_road(stage: Stage, figure: Callable[[Pen, RGB], None]) -> None:
    name = stage.view.subject.name
    if name == "train":
        _rails(stage)
    else:
        road(stage, _GROUND + 12, 52)
    flip = stage.rng.random() < 0.5
    for x, y, scale in stage.row(_GROUND + 44, _SIZES.get(name, 1.32)):
        pen = stage.hero.at(x, y - (6 if name == "train" else 0), scale, flip=flip)
        pen.shadow(0, 0, 72 if name != "bicycle" else 50, 8, 0.5)
        if stage.air.lamps and name != "bicycle":
            pen.glow(74, -20, 34, LAMPLIGHT, 0.5)
            stage.canvas.soft(pen.at(104, -2).matrix[2::3], (72 * scale, 11 * scale), LAMPLIGHT, 0.5)
        figure(pen, stage.ink)


def _mountain_country(stage: Stage) -> None:
    mountains(stage, 202, 122, (98, 118, 156), 0.35)
    woods(stage, 190, 0.42, 0.3, count=11)
    meadow(stage, 194)
    for x in (0.03, 0.97):
        conifer(stage.pen.at(WIDTH * x, 206, 0.85), (52, 98, 72), snowy=stage.air.snow)


def _city(stage: Stage) -> None:
    for haze, tall, colour in ((0.55, 122, (136, 130, 150)), (0.2, 86, (176, 140, 122))):
        distant_town(stage, 206, haze, colour, tall)
    stage.pen.rect(0, 200, WIDTH, 12, (196, 186, 170))
    for x in (0.08, 0.92):
        street_lamp(stage.pen.at(WIDTH * x, 210, 0.95), lit=stage.air.lamps)
    stage.pen.rect(0, 210, WIDTH, 80, (120, 116, 122))


def _coast(stage: Stage) -> None:
    water(stage, 160, 202)
    sand(stage, 196)
    for x, flip in ((0.06, False), (0.95, True)):
        pen = stage.pen.at(WIDTH * x, 214, 1.1, flip=flip)
        if stage.air.snow:
            rock(pen)
        else:
            palm(pen)


def _country(stage: Stage) -> None:
    for y, haze in ((168, 0.5), (184, 0.3)):
        hill(stage, y, 12, (112, 156, 84), haze)
    woods(stage, 194, 0.3, 0.3, count=7)
    meadow(stage, 198)
    x = stage.rng.choice((0.06, 0.94))
    tree = stage.pen.at(WIDTH * x, 208, 0.95)
    if stage.air.snow:
        conifer(tree, (52, 98, 72), snowy=True)
    else:
        round_tree(tree, stage.rng, (84, 138, 72))


def _rails(stage: Stage) -> None:
    y = _GROUND + 38
    stage.pen.rect(0, y - 6, WIDTH, 20, (138, 124, 112))
    for x in range(0, WIDTH, 15):
        stage.pen.rect(x, y - 2, 9, 12, (92, 68, 52))
    for rail in (y - 2, y + 7):
        stage.pen.rect(0, rail, WIDTH, 2.6, (188, 188, 194))


def wheel(pen: Pen, x: float, y: float, radius: float, hub: RGB = (206, 206, 206)) -> None:
    """A tyre around a pale hub."""
    pen.ellipse(x, y, radius, radius, (34, 32, 40))
    pen.ellipse(x, y, radius * 0.58, radius * 0.58, Gradient(lighter(hub), darker(hub, 0.35)))
    pen.ellipse(x, y, radius * 0.2, radius * 0.2, INK)


def _body_paint(colour: RGB) -> Gradient:
    return Gradient(lighter(colour, 0.24), darker(colour, 0.24))


def _pane(pen: Pen, points: list[tuple[float, float]]) -> None:
    """A window, with light behind it after dark."""
    if pen.light.dark:
        pen.bright.polygon(points, Gradient((255, 238, 170), LAMPLIGHT))
    else:
        pen.polygon(points, Gradient(lighter(GLASS, 0.3), darker(GLASS, 0.3)))


def _lamps(pen: Pen, front: float, back: float, y: float) -> None:
    pen.bright.ellipse(front, y, 4, 5, (255, 240, 180))
    pen.bright.ellipse(back, y, 3, 4, (226, 60, 50))


def _car(pen: Pen, colour: RGB) -> None:
    """A rounded saloon of the fifties."""
    pen.blob([(-40, -34), (-26, -56), (0, -60), (22, -55), (36, -34), (0, -28)], darker(colour, 0.06))
    _pane(pen, [(-31, -36), (-21, -52), (-3, -55), (-3, -36)])
    _pane(pen, [(2, -36), (2, -55), (18, -51), (29, -36)])
    pen.blob(
        [(-64, -12), (-64, -28), (-50, -37), (0, -38), (40, -36), (60, -28), (65, -12), (0, -7)],
        _body_paint(colour),
    )
    pen.line([(-62, -21), (62, -21)], CREAM, 2.2)
    pen.line([(-1, -35), (-1, -12)], darker(colour, 0.35), 1.2)
    pen.line([(8, -29), (15, -29)], CREAM, 2)
    for x in (-36, 37):
        pen.ellipse(x, -11, 15.5, 14, darker(colour, 0.5))
        wheel(pen, x, -10, 12.5, CREAM)
    _lamps(pen, 61, -64, -26)


def _bus(pen: Pen, colour: RGB) -> None:
    """A long bus with a cream roof."""
    pen.box(-70, -74, 140, 66, _body_paint(colour), 11)
    pen.box(-67, -78, 134, 14, CREAM, 7)
    for x in range(-62, 40, 21):
        _pane(pen, [(x, -58), (x + 17, -58), (x + 17, -37), (x, -37)])
    _pane(pen, [(47, -60), (66, -60), (68, -34), (47, -34)])
    pen.rect(-69, -30, 138, 4, CREAM)
    pen.rect(28, -58, 14, 48, darker(colour, 0.25))
    _pane(pen, [(30, -56), (40, -56), (40, -26), (30, -26)])
    for x in (-42, 52):
        wheel(pen, x, -9, 12)
    _lamps(pen, 68, -68, -19)


def _truck(pen: Pen, colour: RGB) -> None:
    """A delivery truck, box and cab of one colour."""
    pen.rect(-68, -16, 134, 8, (66, 62, 70))
    pen.box(-70, -84, 88, 70, _body_paint(colour), 4)
    pen.rect(-70, -60, 88, 16, lighter(colour, 0.72))
    for x in (-46, -22, 2):
        pen.line([(x, -82), (x, -16)], darker(colour, 0.22), 1.2)
    pen.blob(
        [(23, -12), (22, -50), (27, -62), (46, -62), (56, -42), (68, -34), (69, -12)],
        _body_paint(darker(colour, 0.08)),
    )
    _pane(pen, [(32, -56), (44, -56), (53, -38), (32, -38)])
    for x in (-48, 45):
        wheel(pen, x, -10, 13)
    _lamps(pen, 68, -70, -24)


def _train(pen: Pen, colour: RGB) -> None:
    """A steam engine with a carriage behind it."""
    for step in range(6):
        pen.ellipse(40 - step * 15, -92 - step * 6, 8 + step * 3, 7 + step * 2, (236, 232, 228), 0.8 - step * 0.1)
    pen.box(-112, -62, 76, 50, _body_paint(colour), 5)
    pen.box(-114, -67, 80, 9, darker(colour, 0.5), 4)
    for x in (-106, -84, -62):
        _pane(pen, [(x, -52), (x + 16, -52), (x + 16, -34), (x, -34)])
    pen.rect(-38, -18, 12, 4, INK)
    pen.rect(-26, -70, 32, 58, _body_paint(colour))
    pen.box(-30, -76, 40, 8, darker(colour, 0.5), 4)
    _pane(pen, [(-20, -62), (-1, -62), (-1, -42), (-20, -42)])
    pen.box(4, -50, 58, 32, Gradient(lighter(colour, 0.4), darker(colour, 0.35)), 9)
    for x in (18, 34, 50):
        pen.rect(x, -50, 3, 32, LAMPLIGHT)
    pen.polygon([(42, -50), (38, -78), (56, -78), (52, -50)], INK)
    pen.ellipse(22, -50, 7, 8, LAMPLIGHT)
    pen.polygon([(60, -20), (78, 0), (56, 0)], (176, 52, 46))
    pen.rect(-112, -16, 172, 6, INK)
    for x, radius in ((-98, 8), (-52, 8), (-12, 13), (18, 13), (46, 9)):
        wheel(pen, x, -radius, radius, (196, 70, 58))
    pen.line([(-12, -12), (18, -12)], (206, 206, 210), 3)
    pen.bright.ellipse(64, -38, 5, 5, (255, 240, 180))


def _bicycle(pen: Pen, colour: RGB) -> None:
    """A bicycle leaning on nothing, as they do in posters."""
    for x in (-36, 36):
        pen.line(arc((x, -26), 25, 25, 0, 360), (42, 38, 46), 4)
        for angle in range(0, 180, 30):
            pen.at(x, -26, turn=angle).line([(-24, 0), (24, 0)], (214, 210, 206), 0.8)
    frame = [(-36, -26), (-16, -64), (24, -66), (-2, -26), (-36, -26)]
    pen.line(frame, colour, 6.5)
    pen.line([(-18, -70), (-2, -26)], colour, 6.5)
    pen.line([(22, -78), (36, -26)], colour, 6.5)
    pen.box(-32, -76, 28, 7, INK, 3)
    pen.curve([(22, -78), (14, -84), (30, -90), (36, -82)], (70, 66, 74), 4)
    pen.polygon([(24, -70), (48, -70), (44, -50), (28, -50)], (178, 124, 74))
    pen.ellipse(-2, -26, 7, 7, (196, 196, 200))
    pen.line([(-8, -18), (4, -34)], INK, 3)


def balloon(pen: Pen, colour: RGB, *, lit: bool) -> None:
    """A hot-air balloon around its envelope's middle, striped in its COLOUR and a paler one."""
    if lit:
        pen.glow(0, 34, 60, (255, 190, 90), 0.55)
    for reach, tone in (
        (46, darker(colour, 0.2)),
        (37, lighter(colour, 0.5)),
        (26, colour),
        (12, lighter(colour, 0.5)),
    ):
        skirt = [(reach * 0.2, 56), (-reach * 0.2, 56)]
        pen.polygon([*arc((0, -6), reach, 50, 160, 380), *skirt], Gradient(lighter(tone, 0.14), darker(tone, 0.16)))
    pen.polygon([*arc((0, -6), 46, 50, 182, 358)[4:-4], (38, -22), (0, -17), (-38, -22)], colour, 0.9)
    for x in (-8, 8):
        pen.line([(x, 54), (x * 0.9, 72)], (96, 70, 52), 1.2)
    pen.box(-10, 70, 20, 15, Gradient((188, 134, 80), (118, 78, 48)), 3)


def _plane(pen: Pen, colour: RGB) -> None:
    """A propeller plane with a low wing."""
    pen.polygon([(-58, -6), (-76, -36), (-58, -36), (-38, -8)], darker(colour, 0.1))
    pen.polygon([(-56, -2), (-76, 4), (-60, 8), (-34, 3)], darker(colour, 0.3))
    pen.blob(
        [(-70, -8), (-30, -17), (20, -19), (54, -13), (62, 0), (50, 11), (10, 14), (-36, 8)],
        _body_paint(colour),
    )
    pen.line([(-66, -3), (-20, 1), (56, 1)], CREAM, 4)
    _pane(pen, [(6, -17), (12, -28), (28, -27), (38, -16)])
    for x in (-30, -16, -2):
        pen.ellipse(x, -8, 4, 4, darker(GLASS, 0.3))
    pen.polygon([(22, 2), (-8, 2), (-34, 34), (-14, 34)], Gradient(lighter(colour, 0.1), darker(colour, 0.36)))
    pen.ellipse(62, -1, 6, 7, (90, 86, 92))
    pen.ellipse(67, -1, 3, 30, (226, 226, 226), 0.6)


_SIZES = {"train": 1.2, "car": 1.5, "bicycle": 1.5}
_AWAY = {"mountains": _mountain_country, "city": _city, "sea": _coast, "country": _country}
_WHEELED: dict[str, Callable[[Pen, RGB], None]] = {
    "car": _car,
    "bus": _bus,
    "truck": _truck,
    "train": _train,
    "bicycle": _bicycle,
}
