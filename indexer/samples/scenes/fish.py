"""Fish: in the open sea, on a reef, in the deep, or in a bowl."""

from __future__ import annotations

import math

from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import rocks
from indexer.samples.palette import CREAM, INK, RGB, darker, lighter
from indexer.samples.pen import Pen, arc
from indexer.samples.scenes.rooms import draw_table
from indexer.samples.stage import Stage

_WATERS: dict[str, tuple[RGB, ...]] = {
    "sea": ((150, 222, 226), (60, 160, 196), (28, 98, 150)),
    "reef": ((120, 214, 206), (54, 164, 178), (36, 118, 140)),
    "deep": ((26, 50, 96), (14, 26, 62), (8, 12, 34)),
}


def draw_fish(stage: Stage) -> None:
    """Draw the fish of the view in their water."""
    if stage.view.setting == "bowl":
        _bowl(stage)
        return
    _under_water(stage)
    for x, y, scale in stage.row(140, 1.4):
        lift = 0 if stage.view.count == 1 else stage.jitter(42)
        fish(stage.hero.at(x, y + lift, scale, flip=stage.rng.random() < 0.5, turn=stage.jitter(8)), stage.ink)


def fish(pen: Pen, colour: RGB) -> None:
    """A fish around its middle, swimming to the right."""
    fin = darker(colour, 0.24)
    pen.blob([(-34, 0), (-62, -26), (-56, 0), (-62, 26)], Gradient(fin, colour, "across"))
    pen.blob([(-20, -20), (-6, -40), (18, -32), (20, -20)], fin)
    pen.blob([(-10, 20), (-14, 36), (6, 30), (10, 20)], fin)
    body = [(-42, 0), (-24, -20), (6, -27), (36, -17), (50, 0), (36, 16), (6, 25), (-24, 18)]
    pen.blob(body, Gradient(lighter(colour, 0.22), darker(colour, 0.16)))
    for x, tall in ((-16, 17), (4, 23)):
        pen.blob(
            [(x - 4, -tall), (x + 5, -tall), (x + 7, 0), (x + 4, tall - 2), (x - 4, tall - 2), (x - 1, 0)],
            lighter(colour, 0.6),
        )
    pen.blob([(8, 2), (-8, 12), (-8, -3)], fin)
    pen.ellipse(33, -6, 7, 7, CREAM)
    pen.ellipse(35, -6, 3.6, 3.8, INK)
    pen.curve([(50, 4), (44, 8), (38, 6)], darker(colour, 0.5), 1.6)


def _under_water(stage: Stage) -> None:
    rng, setting = stage.rng, stage.view.setting
    stage.canvas.backdrop(_WATERS[setting])
    pen = stage.pen
    deep = setting == "deep"
    for _ in range(5):
        x = rng.uniform(-40, WIDTH)
        shaft = [(x, 0), (x + 34, 0), (x - 40, HEIGHT), (x - 130, HEIGHT)]
        pen.polygon(shaft, (150, 190, 230) if deep else CREAM, 0.07 if deep else 0.14)
    floor = (30, 40, 70) if deep else (228, 206, 158)
    pen.blob(
        [(-20, 262), (80, 252), (190, 262), (300, 250), (410, 260), (410, 320), (-20, 320)],
        Gradient(lighter(floor, 0.1), darker(floor, 0.2)),
    )
    rocks(stage, rng.uniform(30, 350), 268, 3, 40)
    if setting == "reef":
        for step in range(9):
            _coral(stage, WIDTH * (step + rng.random()) / 9)
    else:
        for _ in range(6):
            _weed(stage, rng.uniform(0, WIDTH), (40, 72, 90) if deep else (66, 140, 96))
    for _ in range(18):
        size = rng.uniform(1.5, 4.5)
        pen.line(arc((rng.uniform(0, WIDTH), rng.uniform(10, 240)), size, size, 0, 360), CREAM, 0.9, 0.7)


def _coral(stage: Stage, x: float) -> None:
    tone = stage.pick((236, 110, 100), (244, 160, 90), (206, 96, 150), (250, 206, 120))
    for step in range(5):
        lean = (step - 2) * 9
        tall = stage.rng.uniform(26, 48)
        stage.pen.curve([(x, 276), (x + lean * 0.4, 262), (x + lean, 270 - tall)], tone, 6)
        stage.pen.ellipse(x + lean, 268 - tall, 4.6, 4.6, lighter(tone, 0.25))


def _weed(stage: Stage, x: float, tone: RGB) -> None:
    for _ in range(3):
        foot, tall = x + stage.jitter(10), stage.rng.uniform(40, 90)
        blade = [(foot + 6 * math.sin(step * 1.4), 272 - tall * step / 5) for step in range(6)]
        stage.pen.curve(blade, tone, 4.4)


def _bowl(stage: Stage) -> None:
    draw_table(stage)
    x = stage.side_x() if stage.view.count == 1 else WIDTH / 2
    pen = stage.pen.at(x, 172)
    pen.shadow(6, 86, 100, 16)
    pen.ellipse(0, 0, 98, 86, Gradient((226, 240, 240), (176, 212, 220)), 0.75)
    water = [*arc((0, 0), 95, 83, -22, 202)]
    pen.polygon(water, Gradient((134, 206, 222), (66, 150, 190)), 0.92)
    pen.ellipse(0, -31, 88, 8, (190, 232, 238))
    pen.polygon(arc((0, 0), 92, 81, 50, 130), (216, 186, 138))
    count = stage.view.count
    for step in range(count):
        dx = (step - (count - 1) / 2) * 150 / max(count, 2)
        scale = {1: 1.05, 2: 0.66, 3: 0.5, 4: 0.4, 5: 0.33}[count]
        dy = 14 + (stage.jitter(20) if count > 1 else 0)
        fish(stage.hero.at(x + dx, 172 + dy, scale, flip=step % 2 == 1), stage.ink)
    pen.line(arc((0, 0), 97, 85, -50, 230), (236, 246, 248), 2.4, 0.9)
    pen.ellipse(0, -66, 64, 9, (236, 246, 248), 0.55)
    pen.line(arc((-4, -4), 82, 70, 160, 215), (255, 255, 255), 4, 0.75)
