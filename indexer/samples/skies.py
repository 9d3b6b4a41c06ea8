"""Skies for every time and weather, and the weather that falls in front of a finished scene."""

from __future__ import annotations

import math

from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.palette import CREAM, RGB, darker, lighter, mix
from indexer.samples.pen import Pen, arc
from indexer.samples.stage import Air, Stage

AIRS: dict[str, Air] = {
    "day": Air(
        (
            ((70, 152, 208), (142, 202, 224), (226, 236, 218)),
            ((58, 162, 190), (150, 212, 212), (240, 236, 206)),
        ),
        (206, 226, 224),
        (1, 1, 1),
        ((104, 182, 200), (26, 104, 150)),
        (255, 253, 244),
    ),
    "dawn": Air(
        (
            ((150, 164, 214), (226, 190, 214), (255, 222, 196)),
            ((134, 172, 206), (238, 200, 206), (255, 236, 190)),
        ),
        (246, 214, 210),
        (0.98, 0.9, 0.92),
        ((246, 214, 204), (128, 148, 190)),
        (255, 226, 222),
    ),
    "sunset": Air(
        (
            ((92, 50, 112), (214, 76, 74), (250, 142, 48), (255, 206, 96)),
            ((122, 46, 86), (232, 92, 56), (252, 160, 52), (255, 214, 110)),
        ),
        (250, 152, 78),
        (0.94, 0.74, 0.68),
        ((250, 154, 66), (112, 46, 88)),
        (190, 70, 88),
    ),
    "night": Air(
        (((8, 12, 38), (18, 30, 76), (44, 62, 116)), ((12, 10, 40), (28, 26, 80), (62, 60, 120))),
        (40, 54, 104),
        (0.36, 0.42, 0.62),
        ((44, 62, 112), (8, 14, 42)),
        (46, 56, 100),
        lamps=True,
    ),
    "rain": Air(
        (((84, 100, 118), (132, 146, 156), (172, 180, 180)),),
        (158, 170, 176),
        (0.78, 0.82, 0.88),
        ((142, 158, 166), (66, 90, 108)),
        (112, 124, 136),
    ),
    "snow": Air(
        (((150, 168, 194), (196, 208, 222), (232, 234, 236)),),
        (218, 226, 234),
        (0.94, 0.97, 1.0),
        ((190, 206, 218), (110, 140, 168)),
        (226, 232, 240),
        snow=True,
    ),
    "fog": Air(
        (((190, 198, 198), (212, 216, 212), (226, 226, 218)),),
        (216, 220, 214),
        (0.88, 0.9, 0.9),
        ((208, 214, 210), (150, 166, 168)),
        (222, 224, 220),
    ),
    "storm": Air(
        (((30, 32, 48), (66, 68, 90), (122, 120, 128)),),
        (100, 102, 118),
        (0.6, 0.63, 0.72),
        ((92, 104, 120), (26, 38, 58)),
        (50, 52, 68),
    ),
    "rainbow": Air(
        (((96, 140, 184), (152, 190, 212), (214, 226, 218)),),
        (196, 214, 216),
        (0.98, 0.99, 0.97),
        ((128, 178, 196), (46, 106, 144)),
        (236, 240, 240),
    ),
}

_MOON: RGB = (250, 244, 214)
_BANDS: tuple[RGB, ...] = (
    (222, 62, 58),
    (244, 144, 54),
    (250, 214, 78),
    (92, 178, 96),
    (66, 126, 204),
    (132, 84, 178),
)


def air_of(setting: str) -> Air:
    """The air of a setting; places that are no time or weather of their own lie in daylight."""
    return AIRS.get(setting, AIRS["day"])


def draw_sky(stage: Stage, horizon: float) -> None:
    """Fill the canvas with the sky of the stage's setting, down to and below HORIZON."""
    setting = stage.view.setting
    stops = stage.rng.choice(stage.air.sky)
    stage.canvas.backdrop(stops, 0, horizon)
    stage.canvas.backdrop((stops[-1], stops[-1]), horizon, HEIGHT)
    stage.sun = (stage.away_x(), horizon * stage.rng.uniform(0.2, 0.4))
    if stage.air.lamps:
        _night(stage, horizon)
    elif setting in ("sunset", "dawn"):
        _low_sun(stage, horizon)
        _streaks(stage, horizon)
    elif setting == "storm":
        _clouds(stage, horizon * 0.35, 7, 1.7)
        _lightning(stage, horizon)
    elif setting in ("rain", "snow"):
        _clouds(stage, horizon * 0.2, 6, 1.5)
    elif setting == "rainbow":
        _rainbow(stage, horizon)
        _clouds(stage, horizon * 0.3, 3, 0.9)
    elif setting != "fog":
        _high_sun(stage)
        _clouds(stage, horizon * 0.45, stage.rng.randint(2, 4), 1.0)


def draw_weather(stage: Stage) -> None:
    """Let rain, snow or fog fall in front of the finished scene."""
    setting = stage.view.setting
    if setting in ("rain", "storm"):
        _rain(stage, 190 if setting == "rain" else 90)
    elif setting == "snow":
        _snowfall(stage)
    elif setting == "fog":
        _mist(stage)


def draw_birds(stage: Stage, y: float) -> None:
    """A few birds on the wing around height Y."""
    colour = CREAM if stage.air.lamps or stage.view.setting == "storm" else (52, 44, 62)
    centre = WIDTH / 2 + stage.jitter(70)
    for step in range(stage.rng.randint(4, 6)):
        pen = Pen(stage.canvas).at(centre + step * 21 - 50, y + stage.jitter(15), stage.rng.uniform(0.75, 1.15))
        pen.curve([(-10, -5), (-5, -7), (0, 0), (5, -7), (10, -5)], colour, 2)


def _night(stage: Stage, horizon: float) -> None:
    pen, rng = Pen(stage.canvas), stage.rng
    for _ in range(70):
        x, y, size = rng.uniform(0, WIDTH), rng.uniform(0, horizon * 0.9), rng.uniform(0.5, 1.3)
        pen.ellipse(x, y, size, size, lighter((190, 200, 255), rng.random()))
    x, y = stage.sun
    pen.glow(x, y, 70, (150, 170, 220), 0.45)
    if rng.random() < 0.5:
        pen.at(x, y, turn=-25).polygon([*arc((0, 0), 20, 20, -90, 90), *arc((-2, 0), 11, 20, 90, -90)], _MOON)
    else:
        pen.ellipse(x, y, 19, 19, _MOON)
        for dx, dy, size in ((-6, -4, 4), (5, 3, 5), (3, -9, 2.5)):
            pen.ellipse(x + dx, y + dy, size, size, darker(_MOON, 0.14))
    _streaks(stage, horizon * 0.9)


def _low_sun(stage: Stage, horizon: float) -> None:
    pen, dawn = Pen(stage.canvas), stage.view.setting == "dawn"
    stage.sun = (stage.away_x(), horizon - (4 if dawn else stage.rng.uniform(18, 40)))
    x, y = stage.sun
    core, halo = ((255, 250, 226), (255, 240, 200)) if dawn else ((255, 238, 150), (255, 190, 70))
    pen.glow(x, y, 130, halo, 0.6)
    pen.glow(x, y, 60, core, 0.6)
    radius = 20 if dawn else 27
    pen.ellipse(x, y, radius, radius, Gradient(core, lighter(halo, 0.2) if dawn else (255, 178, 70)))


def _high_sun(stage: Stage) -> None:
    pen, (x, y) = Pen(stage.canvas), stage.sun
    pen.glow(x, y, 80, (255, 250, 214), 0.7)
    pen.ellipse(x, y, 17, 17, (255, 246, 196))


def _clouds(stage: Stage, y: float, count: int, size: float) -> None:
    """Heaped clouds with flat feet, around height Y."""
    for step in range(count):
        x = WIDTH * (step + stage.rng.random()) / count
        scale = size * stage.rng.uniform(0.7, 1.25)
        pen = Pen(stage.canvas).at(x, y + stage.jitter(y * 0.6), scale, flip=stage.rng.random() < 0.5)
        foot = mix(stage.air.cloud, stage.air.haze, 0.6)
        for dx, dy, reach in (
            (-27, 2, 13),
            (24, 3, 14),
            (-13, -6, 16),
            (10, -8, 18),
            (38, 6, 9),
            (-40, 6, 8),
        ):
            crown = arc((dx, dy), reach, reach * 0.9, 0, 360)
            pen.polygon([(px, min(py, 12)) for px, py in crown], Gradient(stage.air.cloud, foot), 0.88)


def _streaks(stage: Stage, horizon: float) -> None:
    """Thin evening clouds, closer together towards the horizon."""
    pen = Pen(stage.canvas)
    for step in range(stage.rng.randint(4, 7)):
        y = horizon * (0.2 + 0.11 * step) + stage.jitter(6)
        x, reach = stage.rng.uniform(0, WIDTH), stage.rng.uniform(50, 120)
        lens = [
            (x - reach, y),
            (x - reach * 0.3, y - 5),
            (x + reach * 0.4, y - 3),
            (x + reach, y),
            (x, y + 3),
        ]
        pen.blob(lens, stage.air.cloud, 0.45)


def _lightning(stage: Stage, horizon: float) -> None:
    pen, rng = Pen(stage.canvas), stage.rng
    x = stage.away_x()
    stops = 7
    bolt = [(x + stage.jitter(13) + step * 3, horizon * (0.16 + 0.78 * step / stops)) for step in range(stops + 1)]
    pen.glow(bolt[3][0], bolt[3][1], 95, (190, 196, 240), 0.6)
    branch = [bolt[3], (bolt[3][0] - 22, bolt[4][1]), (bolt[3][0] - 30, bolt[5][1] + rng.uniform(0, 8))]
    for path, width in ((bolt, 4.2), (branch, 2.2)):
        pen.line(path, (196, 200, 255), width + 3, 0.4)
        pen.line(path, (255, 252, 226), width)


def _rainbow(stage: Stage, horizon: float) -> None:
    centre = (WIDTH / 2 + stage.jitter(50), horizon + 26)
    reach = stage.rng.uniform(165, 190)
    for step, band in enumerate(_BANDS):
        Pen(stage.canvas).line(arc(centre, reach - step * 6.5, reach - step * 6.5, 180, 360), band, 7, 0.62)


def _rain(stage: Stage, drops: int) -> None:
    pen, rng = Pen(stage.canvas), stage.rng
    slant = rng.uniform(0.15, 0.4)
    for _ in range(drops):
        x, y, length = rng.uniform(-20, WIDTH), rng.uniform(-20, HEIGHT), rng.uniform(9, 20)
        pen.line([(x, y), (x + length * slant, y + length)], (222, 232, 240), 0.8, rng.uniform(0.35, 0.75))


def _snowfall(stage: Stage) -> None:
    pen, rng = Pen(stage.canvas), stage.rng
    for _ in range(130):
        size = rng.choice((1, 1.4, 1.9, 2.8))
        pen.ellipse(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), size, size, (255, 255, 255), 0.92)


def _mist(stage: Stage) -> None:
    """Banks of fog over everything, thin enough for the subject to keep its colour."""
    stage.canvas.fill([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], stage.air.haze, 0.22)
    for step in range(7):
        y = HEIGHT * (0.35 + 0.1 * step) + 8 * math.sin(step * 2.4)
        stage.canvas.soft((stage.rng.uniform(0, WIDTH), y), (stage.rng.uniform(120, 220), 24), stage.air.haze, 0.5)
