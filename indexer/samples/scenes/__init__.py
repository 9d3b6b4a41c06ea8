"""The scenes, one module for each family of pictures."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image

from indexer.samples.scenes import (
    animals,
    food,
    landscapes,
    objects,
    patterns,
    plants,
    seas,
    signs,
    towns,
    vehicles,
    weather,
)
from indexer.samples.skies import air_of, draw_weather
from indexer.samples.stage import Stage
from indexer.samples.view import View

FAMILIES: dict[str, Callable[[Stage], None]] = {
    "landscapes": landscapes.draw,
    "weather": weather.draw,
    "seas": seas.draw,
    "towns": towns.draw,
    "vehicles": vehicles.draw,
    "animals": animals.draw,
    "plants": plants.draw,
    "food": food.draw,
    "objects": objects.draw,
    "patterns": patterns.draw,
    "signs": signs.draw,
}


def draw_view(view: View, chance: str) -> Image.Image:
    """Draw VIEW at its final size; the same CHANCE gives the same picture."""
    stage = Stage(view, random.Random(chance), air_of(view.setting))
    FAMILIES[view.subject.family](stage)
    draw_weather(stage)
    return stage.canvas.finish(stage.rng)
