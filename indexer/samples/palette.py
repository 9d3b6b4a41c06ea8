"""The inks of the sample library: named colours and the few ways they are mixed."""

from __future__ import annotations

import random

RGB = tuple[int, int, int]

INKS: dict[str, RGB] = {
    "red": (208, 44, 40),
    "blue": (38, 98, 186),
    "yellow": (246, 200, 44),
    "green": (58, 146, 74),
    "orange": (240, 126, 32),
    "purple": (126, 66, 168),
    "white": (247, 243, 232),
    "black": (38, 36, 44),
    "pink": (242, 134, 168),
    "brown": (128, 80, 46),
}

CREAM: RGB = (252, 244, 222)
INK: RGB = (34, 28, 46)
GLASS: RGB = (190, 220, 228)
LAMPLIGHT: RGB = (255, 214, 120)
WOOD: RGB = (166, 114, 68)
LEAF: RGB = (74, 132, 66)
SNOW: RGB = (240, 244, 250)


def mix(first: RGB, second: RGB, amount: float) -> RGB:
    """FIRST moved towards SECOND by AMOUNT, 0 to 1."""
    a, b, c = (round(p + (q - p) * amount) for p, q in zip(first, second, strict=True))
    return (a, b, c)


def lighter(colour: RGB, amount: float = 0.3) -> RGB:
    """COLOUR towards warm paper white."""
    return mix(colour, CREAM, amount)


def darker(colour: RGB, amount: float = 0.3) -> RGB:
    """COLOUR towards violet ink, so that shadows stay coloured rather than gray."""
    return mix(colour, INK, amount)


def varied(rng: random.Random, colour: RGB, spread: int = 10) -> RGB:
    """COLOUR nudged at random by up to SPREAD levels a channel."""
    a, b, c = (min(255, max(0, level + rng.randint(-spread, spread))) for level in colour)
    return (a, b, c)


def contrast(colour: RGB) -> RGB:
    """Cream on dark colours, ink on light ones: lettering that can be read."""
    red, green, blue = colour
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 150 else CREAM
