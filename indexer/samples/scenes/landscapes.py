"""Mountains, hills, deserts, forests and fields."""

from __future__ import annotations

from indexer.samples.buildings import cottage
from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import (
    MEADOW,
    ground_colour,
    hill,
    meadow,
    mountain,
    mountains,
    rocks,
    water,
    woods,
)
from indexer.samples.nature import bush, conifer, round_tree
from indexer.samples.palette import CREAM, INKS, RGB, SNOW, darker, lighter, mix
from indexer.samples.pen import Pen
from indexer.samples.skies import draw_birds, draw_sky
from indexer.samples.stage import Stage


def draw(stage: Stage) -> None:
    """Draw the landscape, then its detail: birds in the air, a cottage or a road on the ground."""
    stage.lift_dark()
    _LANDS[stage.view.subject.name](stage)
    if stage.view.detail == "birds":
        draw_birds(stage, 58)
    elif stage.view.detail == "cottage":
        x = WIDTH * stage.rng.choice((0.3, 0.68))
        cottage(stage.pen.at(x, 226, 0.46), (206, 92, 70), lit=stage.air.lamps)
    elif stage.view.detail == "road":
        _winding_road(stage.pen, stage.rng.choice((-1, 1)))


def _winding_road(pen: Pen, side: int) -> None:
    edges = [(0.5, 196, 3), (0.46, 208, 7), (0.55, 226, 13), (0.49, 252, 26), (0.52, 292, 52)]
    middle = [(WIDTH * (0.5 + side * (x - 0.5)), y, reach) for x, y, reach in edges]
    left = [(x - reach, y) for x, y, reach in middle]
    right = [(x + reach, y) for x, y, reach in reversed(middle)]
    pen.blob([*left, *right], Gradient((222, 200, 164), (196, 166, 126)))


def _mountain_land(stage: Stage) -> None:
    draw_sky(stage, 190)
    tone = _land_ink(stage, 0.78)
    mountains(stage, 196, 92, tone, 0.62)
    cap = 0.75 if stage.view.colour == "white" else 0.22
    for x, wide, tall in ((0.24, 210, 118), (0.8, 200, 104), (0.5, 250, 150)):
        at = WIDTH * x + stage.jitter(22)
        mountain(stage.far(0.14).at(at, 200), stage, wide, tall * stage.rng.uniform(0.9, 1.08), tone, cap)
    if stage.rng.random() < 0.5 and stage.view.detail not in ("cottage", "road"):
        water(stage, 198)
        woods(stage, 202, 0.22, 0.3, count=16)
        hill(stage, 274, 9, (70, 112, 66), 0)
    else:
        hill(stage, 194, 5, (92, 138, 84), 0.3)
        woods(stage, 208, 0.26, 0.25, count=14)
        meadow(stage, 216)
    for x in (0.05, 0.13, 0.94):
        conifer(stage.pen.at(WIDTH * x, 276 + stage.jitter(6), stage.rng.uniform(0.7, 1)), (48, 92, 66))


def _land_ink(stage: Stage, strength: float) -> RGB:
    """The subject's colour as land has it, a little dustier than paint."""
    if stage.view.colour == "white":
        return (150, 164, 190)
    return mix(INKS["brown"], stage.ink, strength)


def _hill_land(stage: Stage) -> None:
    draw_sky(stage, 168)
    tone = mix(MEADOW, stage.ink, 0.85)
    mountains(stage, 178, 54, (112, 132, 160), 0.7, 0.2)
    for y, height, haze in ((158, 15, 0.45), (178, 18, 0.28), (204, 16, 0.12), (240, 11, 0)):
        hill(stage, y, height, stage.pick(tone, darker(tone, 0.12), lighter(tone, 0.14)), haze)
        for _ in range(3):
            x = stage.rng.uniform(0, WIDTH)
            round_tree(
                stage.far(haze).at(x, y + 12, 0.12 + (y - 150) / 420),
                stage.rng,
                darker(mix(tone, (70, 120, 60), 0.6), 0.15),
            )


def _desert_land(stage: Stage) -> None:
    draw_sky(stage, 172)
    tone = mix((224, 180, 120), stage.ink, 0.62)
    for x in (0.2, 0.76):
        _mesa(
            stage.far(0.4).at(WIDTH * x + stage.jitter(26), 192, stage.rng.uniform(0.7, 1.1)),
            darker(tone, 0.16),
        )
    for y, height, haze in ((178, 9, 0.25), (204, 15, 0.1), (238, 14, 0)):
        crest = hill(stage, y, height, tone, haze)
        lee = [(x + 26, py + 24 + (py - y) * 0.4) for x, py in reversed(crest)]
        stage.far(haze).polygon([*crest, *lee], lighter(tone, 0.24), 0.55)
    for _ in range(3):
        bush(stage.pen.at(stage.rng.uniform(20, WIDTH - 20), stage.rng.uniform(232, 276), 0.6), (120, 136, 84))
    rocks(stage, stage.rng.uniform(40, 330), 270, 3, 20)


def _mesa(pen: Pen, colour: RGB) -> None:
    pen.polygon(
        [(-64, 0), (-46, -22), (-40, -62), (38, -64), (44, -24), (66, 0)],
        Gradient(lighter(colour), darker(colour, 0.1)),
    )
    pen.polygon([(12, -63), (38, -64), (44, -24), (66, 0), (20, 0), (16, -26)], darker(colour, 0.25))
    for y in (-50, -38, -26):
        pen.line([(-41, y), (40, y - 1)], darker(colour, 0.2), 1.2, 0.6)


def _forest_land(stage: Stage) -> None:
    draw_sky(stage, 176)
    tone, snowy = stage.ink, stage.view.colour == "white"
    mountains(stage, 178, 62, (106, 126, 150), 0.6)
    hill(stage, 176, 5, SNOW if snowy else (100, 134, 80), 0.35)
    leaves = (92, 132, 124) if snowy else tone
    for y, scale, haze, count in ((184, 0.5, 0.5, 14), (202, 0.72, 0.28, 11), (226, 1.0, 0.1, 8)):
        hill(stage, y - 4, 3, SNOW if snowy else mix(MEADOW, tone, 0.35), haze)
        for step in range(count):
            x = WIDTH * (step + stage.rng.random()) / count
            pen = stage.far(haze).at(x, y + stage.jitter(4), scale * stage.rng.uniform(0.85, 1.2))
            if snowy or (stage.view.colour == "green" and step % 3):
                conifer(pen, leaves, snowy=snowy)
            else:
                round_tree(pen, stage.rng, leaves)
    meadow(stage, 238, SNOW if snowy else mix(MEADOW, tone, 0.4), flowers=False)


def _field_land(stage: Stage) -> None:
    draw_sky(stage, 150)
    tone = stage.ink
    hill(stage, 148, 10, (96, 138, 112), 0.55)
    woods(stage, 158, 0.2, 0.4, count=16)
    soil = ground_colour(stage, mix((90, 130, 64), tone, 0.25))
    stage.pen.rect(0, 158, WIDTH, HEIGHT - 158, Gradient(mix(soil, stage.air.haze, 0.3), soil))
    vanishing = WIDTH / 2 + stage.jitter(60)
    for row in range(-13, 14):
        foot = vanishing + row * 46
        strip = [
            (vanishing + row * 8, 159),
            (vanishing + row * 8 + 5, 159),
            (foot + 30, HEIGHT),
            (foot, HEIGHT),
        ]
        stage.pen.polygon(strip, Gradient(mix(tone, stage.air.haze, 0.25), tone))
        for step in range(9):
            depth = ((step + stage.rng.random()) / 9) ** 1.7
            x = vanishing + row * (8 + 38 * depth) + 3 + 13 * depth + stage.jitter(7 * depth)
            size = 0.8 + 4.4 * depth
            tuft = stage.rng.choice((lighter(tone, 0.35), darker(tone, 0.2), mix(tone, CREAM, 0.15)))
            stage.pen.ellipse(x, 160 + 128 * depth, size, size * 0.8, tuft)
    round_tree(stage.pen.at(WIDTH * stage.rng.choice((0.12, 0.88)), 178, 0.62), stage.rng, (84, 130, 72))


_LANDS = {
    "mountains": _mountain_land,
    "hills": _hill_land,
    "desert": _desert_land,
    "forest": _forest_land,
    "fields": _field_land,
}
