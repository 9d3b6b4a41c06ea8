"""Indoors: papered walls, tables and their cloths."""

from __future__ import annotations

from indexer.samples.canvas import HEIGHT, WIDTH, Gradient
from indexer.samples.grounds import MEADOW, hill_line
from indexer.samples.palette import CREAM, LAMPLIGHT, LEAF, RGB, WOOD, darker, lighter, mix
from indexer.samples.pen import Pen
from indexer.samples.stage import Stage

TABLE_TOP = 178
_WALLS: dict[str, RGB] = {
    "yellow wall": (244, 206, 96),
    "green wall": (120, 178, 128),
    "pink wall": (240, 166, 182),
    "blue wall": (112, 168, 212),
    "dark room": (38, 36, 58),
}
_PAPERS: tuple[RGB, ...] = ((236, 214, 180), (216, 220, 204), (228, 206, 200), (206, 214, 222))


def draw_room(stage: Stage, shelf: float) -> None:
    """A wall of the setting's colour over a wooden surface whose far edge is at SHELF."""
    setting = stage.view.setting
    wall, dark = _WALLS[setting], setting == "dark room"
    _paper(stage, wall, shelf)
    if dark:
        stage.canvas.soft((stage.side_x(), shelf - 50), (190, 170), (120, 84, 70), 0.55)
    wood = mix(WOOD, (30, 24, 40), 0.6) if dark else WOOD
    _boards(stage, shelf, wood)


def _paper(stage: Stage, wall: RGB, foot: float) -> None:
    """Wallpaper with one of three quiet patterns, lit from the left."""
    pen = Pen(stage.canvas)
    pen.rect(0, 0, WIDTH, foot, Gradient(lighter(wall, 0.14), darker(wall, 0.12), "across"))
    pattern, tone = stage.rng.randrange(3), lighter(wall, 0.16 if max(wall) > 90 else 0.05)
    for column in range(0, WIDTH + 24, 24):
        if pattern == 0:
            pen.rect(column, 0, 10, foot, tone, 0.7)
            continue
        for row in range(0, int(foot) - 8, 24):
            shift = 12 if (row // 24) % 2 else 0
            if pattern == 1:
                pen.ellipse(column + shift, row + 8, 3, 3, tone)
            else:
                pen.polygon(
                    [
                        (column + shift, row),
                        (column + shift + 5, row + 8),
                        (column + shift, row + 16),
                        (column + shift - 5, row + 8),
                    ],
                    tone,
                )
    pen.canvas.soft((70, 20), (190, 150), CREAM, 0.25 if max(wall) > 90 else 0.06)


def _boards(stage: Stage, top: float, wood: RGB) -> None:
    pen = Pen(stage.canvas)
    pen.rect(0, top, WIDTH, HEIGHT - top, Gradient(lighter(wood, 0.16), darker(wood, 0.22)))
    pen.rect(0, top, WIDTH, 3, lighter(wood, 0.4))
    for board in range(-3, 4):
        near, far = WIDTH / 2 + board * 110, WIDTH / 2 + board * 66
        pen.line([(far, top), (near, HEIGHT)], darker(wood, 0.3), 1.2, 0.7)
    for _ in range(16):
        x, y, reach = (
            stage.rng.uniform(0, WIDTH),
            stage.rng.uniform(top + 8, HEIGHT),
            stage.rng.uniform(12, 50),
        )
        pen.curve([(x - reach, y), (x, y + 2), (x + reach, y)], darker(wood, 0.22), 1, 0.5)


def draw_table(stage: Stage) -> None:
    """A table before a papered wall, a window or a picnic meadow, laid as the setting says."""
    setting = stage.view.setting
    if setting == "picnic":
        _picnic(stage)
        return
    _paper(stage, stage.rng.choice(_PAPERS), TABLE_TOP)
    if setting == "window":
        _window(stage)
    _boards(stage, TABLE_TOP, WOOD)
    if setting == "blue tablecloth":
        _cloth(stage, (70, 128, 198), checked=False)
    elif setting == "checked tablecloth":
        _cloth(stage, (206, 64, 60), checked=True)


def _window(stage: Stage) -> None:
    """A tall window on a bright day, over the table."""
    pen = Pen(stage.canvas)
    pen.rect(88, 8, 208, 158, CREAM)
    pen.rect(96, 16, 192, 142, Gradient((126, 192, 226), (226, 240, 232)))
    hills = [(x, y) for x, y in hill_line(stage, 122, 9) if 96 <= x <= 288]
    pen.polygon([*hills, (288, 158), (96, 158)], Gradient(lighter(MEADOW), LEAF))
    for x in (189, 96, 282):
        pen.rect(x, 16, 6, 142, CREAM)
    pen.rect(96, 80, 192, 5, CREAM)
    curtain = stage.pick((226, 130, 116), (126, 168, 190), (236, 190, 110))
    for edge, side in ((82, 1), (302, -1)):
        fall = [
            (edge - side * 14, 2),
            (edge + side * 34, 2),
            (edge + side * 22, 90),
            (edge + side * 4, 168),
            (edge - side * 14, 168),
        ]
        pen.polygon(fall, Gradient(lighter(curtain, 0.3), darker(curtain, 0.1), "across"))
    pen.rect(70, 0, 244, 6, darker(WOOD, 0.2))


def _cloth(stage: Stage, tone: RGB, *, checked: bool) -> None:
    """A cloth over the table, its checks drawn in perspective."""
    pen, middle = Pen(stage.canvas), WIDTH / 2
    base = CREAM if checked else tone
    top, drop = TABLE_TOP + 6, HEIGHT
    pen.rect(0, top, WIDTH, drop - top, Gradient(lighter(base, 0.14), darker(base, 0.12)))
    if checked:
        for column in range(-9, 9):
            near, far = column * 60, column * 34
            pen.polygon(
                [
                    (middle + far, top),
                    (middle + far + 17, top),
                    (middle + near + 30, drop),
                    (middle + near, drop),
                ],
                tone,
                0.55,
            )
        for row in (0.0, 0.2, 0.5):
            pen.rect(0, top + 110 * row, WIDTH, 9 + 18 * row, tone, 0.5)
    else:
        pen.rect(0, top + 7, WIDTH, 3, lighter(tone, 0.6))
        for _ in range(34):
            pen.ellipse(stage.rng.uniform(0, WIDTH), stage.rng.uniform(top + 18, drop), 2, 1.4, lighter(tone, 0.5))
    pen.line([(0, top), (WIDTH, top)], lighter(base, 0.5), 2)


def _picnic(stage: Stage) -> None:
    """A blanket on the grass under trees."""
    pen = Pen(stage.canvas)
    stage.canvas.backdrop(((120, 190, 220), (206, 230, 220)), 0, 110)
    for top, tone in ((98, (134, 178, 118)), (116, (112, 166, 88))):
        pen.polygon([*hill_line(stage, top, 10), (WIDTH, HEIGHT), (0, HEIGHT)], Gradient(lighter(tone, 0.1), tone))
    for _ in range(60):
        x, y = stage.rng.uniform(0, WIDTH), stage.rng.uniform(126, HEIGHT)
        pen.line([(x, y), (x + stage.jitter(3), y - 7)], stage.pick((86, 138, 70), (146, 190, 100)), 1.2)
    pen.polygon([(46, 172), (338, 172), (400, 290), (-16, 290)], Gradient((250, 240, 214), (228, 208, 178)))
    for step in range(1, 6):
        far, near = 46 + 292 * step / 6, -16 + 416 * step / 6
        pen.line([(far, 172), (near, 290)], (226, 110, 84), 5, 0.75)
    for row in (184, 204, 232, 268):
        pen.line(
            [(46 - (row - 172) * 0.52, row), (338 + (row - 172) * 0.52, row)],
            (226, 110, 84),
            2 + (row - 172) / 26,
            0.75,
        )


def lamplight(stage: Stage, x: float, y: float, reach: float) -> None:
    """Warm light around (X, Y), stronger in a dark room."""
    dark = stage.view.setting == "dark room"
    stage.canvas.soft((x, y), (reach, reach), LAMPLIGHT, 0.75 if dark else 0.3)
