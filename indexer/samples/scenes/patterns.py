"""Stripes, dots, checks, waves, mosaics, stars and zigzags in two colours, as if block-printed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from indexer.samples.canvas import HEIGHT, WIDTH, Gradient, Point
from indexer.samples.palette import INKS, RGB, darker, lighter, varied
from indexer.samples.pen import Pen
from indexer.samples.stage import Stage

_REACH = 270


def draw(stage: Stage) -> None:
    """Print the pattern in the view's colour on a ground of its setting's colour."""
    ground = varied(stage.rng, INKS[stage.view.setting], 6)
    canvas_pen = Pen(stage.canvas)
    canvas_pen.rect(0, 0, WIDTH, HEIGHT, Gradient(lighter(ground, 0.06), darker(ground, 0.06), "across"))
    _PATTERNS[stage.view.subject.name](stage, canvas_pen.at(WIDTH / 2, HEIGHT / 2), stage.rng.uniform(0.85, 1.3))


def _inks(stage: Stage) -> RGB:
    """The printing ink, never quite evenly loaded."""
    return varied(stage.rng, INKS[stage.view.colour], 9)


def _steps(pitch: float) -> Iterator[float]:
    count = int(_REACH / pitch) + 1
    return (step * pitch for step in range(-count, count + 1))


def _stripes(stage: Stage, pen: Pen, size: float) -> None:
    turned = pen.at(0, 0, turn=stage.rng.choice((0, 90, 45, -45)))
    for x in _steps(44 * size):
        turned.rect(x, -_REACH, 22 * size, 2 * _REACH, _inks(stage))


def _dots(stage: Stage, pen: Pen, size: float) -> None:
    reach = stage.rng.choice((11, 15))
    for row, y in enumerate(_steps(36 * size)):
        for x in _steps(42 * size):
            shift = 21 * size if row % 2 else 0
            ink = _inks(stage)
            pen.ellipse(x + shift, y, reach * size, reach * size, Gradient(lighter(ink, 0.06), darker(ink, 0.06)))


def _checks(stage: Stage, pen: Pen, size: float) -> None:
    turned = pen.at(0, 0, turn=stage.rng.choice((0, 45)))
    for row, y in enumerate(_steps(40 * size)):
        for column, x in enumerate(_steps(40 * size)):
            if (row + column) % 2:
                turned.rect(x, y, 40 * size, 40 * size, _inks(stage))


def _waves(stage: Stage, pen: Pen, size: float) -> None:
    for y in _steps(36 * size):
        crest = [(float(x), y + 11 * size * math.sin(x / (14 * size))) for x in range(-200, 204, 4)]
        pen.line(crest, _inks(stage), 14 * size)


def _zigzags(stage: Stage, pen: Pen, size: float) -> None:
    for y in _steps(44 * size):
        teeth: list[Point] = [
            (x, y + (15 * size if step % 2 else -15 * size)) for step, x in enumerate(_steps(30 * size))
        ]
        pen.line(teeth, _inks(stage), 15 * size)


def _stars(stage: Stage, pen: Pen, size: float) -> None:
    for row, y in enumerate(_steps(50 * size)):
        for x in _steps(56 * size):
            star = pen.at(x + (28 * size if row % 2 else 0), y, size, turn=stage.jitter(14))
            tips = [(math.sin(step * math.pi / 5), -math.cos(step * math.pi / 5)) for step in range(10)]
            star.polygon(
                [
                    (tx * (21 if step % 2 == 0 else 9), ty * (21 if step % 2 == 0 else 9))
                    for step, (tx, ty) in enumerate(tips)
                ],
                _inks(stage),
            )


def _mosaic(stage: Stage, pen: Pen, size: float) -> None:
    """Uneven square tiles, two in three of the ink's colour and set in mortar of the ground's."""
    pitch = 25 * size
    ground = INKS[stage.view.setting]
    for y in _steps(pitch):
        for x in _steps(pitch):
            base = _inks(stage) if stage.rng.random() < 0.62 else ground
            tone = varied(stage.rng, stage.rng.choice((base, lighter(base, 0.2), darker(base, 0.18))), 12)
            corners = [
                (x + dx * pitch * 0.88 + stage.jitter(2), y + dy * pitch * 0.88 + stage.jitter(2))
                for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))
            ]
            pen.polygon(corners, tone)


_PATTERNS: dict[str, Callable[[Stage, Pen, float], None]] = {
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "waves": _waves,
    "mosaic": _mosaic,
    "stars": _stars,
    "zigzags": _zigzags,
}
