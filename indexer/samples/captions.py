"""Two captions for each picture, in the words that people use for what they see.

The first says nearly everything; the second says it otherwise and may leave the side or the detail out.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from indexer.samples.view import View
from indexer.samples.words import (
    AWAY,
    DETAILS,
    DOINGS,
    MASSES,
    NOUNS,
    NUMBERS,
    PATTERNS,
    PLURALS,
    SETTINGS,
    SIDES,
)

Writer = Callable[[View, random.Random], tuple[str, str]]


def write_captions(view: View, rng: random.Random) -> tuple[str, str]:
    """Two different captions, both true of VIEW."""
    write = _WRITERS.get(view.subject.family, _scene_captions)
    first, second = write(view, rng)
    return _styled(first, rng), _styled(second, rng)


def article(phrase: str) -> str:
    """PHRASE behind "a" or "an"."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def plural(noun: str) -> str:
    """NOUN, the last word of it, in the plural."""
    return PLURALS.get(noun, noun if noun.endswith("s") else f"{noun}s")


def _scene_captions(view: View, rng: random.Random) -> tuple[str, str]:
    """Captions for things seen somewhere: who, doing what, where, when, with what beside."""
    setting = rng.sample(SETTINGS[view.setting], 2)
    doing = DOINGS.get(view.subject.name, ("",))
    first = _frame(rng, _things(view, rng), rng.choice(doing), setting[0], _side(view, rng), _detail(view, rng))
    side, detail = _side(view, rng), _detail(view, rng)
    if rng.random() < 0.5:
        side = ""
    elif rng.random() < 0.5:
        detail = ""
    second = _frame(rng, _things(view, rng), rng.choice(("", *doing)), setting[1], side, detail)
    return first, second


def _frame(rng: random.Random, things: str, doing: str, setting: str, side: str, detail: str) -> str:
    """One sentence out of its parts, in one of the orders that English allows."""
    aside = f"{setting}, {side}" if side else setting
    frames = (
        (things, doing, side, setting, detail),
        (things, side, doing, setting, detail),
        (things, side, doing, detail, setting),
        (f"{setting},", things, doing, side, detail),
        (things, doing, side, detail, setting),
        (things, doing, detail, aside),
    )
    return " ".join(part for part in rng.choice(frames) if part)


def _things(view: View, rng: random.Random) -> str:
    """The subject with its number and colour: "a red boat", "three red boats"."""
    name = view.subject.name
    noun = rng.choice(NOUNS.get(name, (name,)))
    if name == "umbrella":
        return rng.choice(
            (f"someone with {article(view.colour)} {noun}", f"a person under {article(view.colour)} {noun}")
        )
    if name in ("pizza", "bread"):
        food = rng.choice(("a pizza", "pizza")) if name == "pizza" else rng.choice(("a loaf of bread", "bread"))
        return f"{food} on {article(view.colour)} plate"
    if name == "lighthouse":
        return rng.choice((article(f"{view.colour} lighthouse"), f"a lighthouse with {view.colour} stripes"))
    if name in MASSES:
        return f"{view.colour} {noun}"
    if view.count == 1:
        return _one(view, noun)
    number = NUMBERS[view.count]
    return f"{number} {view.colour} {plural(noun)}"


def _one(view: View, noun: str) -> str:
    if noun == "bowl of fruit":
        return f"{article(view.colour)} bowl of fruit"
    return article(f"{view.colour} {noun}")


def _side(view: View, rng: random.Random) -> str:
    """Where a single subject stands; the middle goes without saying, mostly."""
    if not view.subject.sided or view.count > 1:
        return ""
    if view.side == "center" and rng.random() < 0.6:
        return ""
    return rng.choice(SIDES[view.side])


def _detail(view: View, rng: random.Random) -> str:
    phrases = AWAY if view.subject.family == "vehicles" else DETAILS
    return rng.choice(phrases[view.detail]) if view.detail else ""


def _pattern_captions(view: View, rng: random.Random) -> tuple[str, str]:
    colour, ground = view.colour, view.setting
    noun, adjective = PATTERNS[view.subject.name]
    cloth = rng.choice(("pattern", "fabric", "wallpaper", "background"))
    choices = [
        f"{colour} {noun} on {ground}",
        f"{colour} {noun} on {article(ground)} background",
        f"{article(adjective)} {cloth} in {colour} and {ground}",
        f"a pattern of {colour} {noun} on {ground}",
        f"{ground} {cloth} with {colour} {noun}",
        f"{colour} and {ground} {adjective} {cloth}",
    ]
    first, second = rng.sample(choices, 2)
    return first, second


def _sign_captions(view: View, rng: random.Random) -> tuple[str, str]:
    word, colour = view.subject.name, view.colour
    setting = rng.sample(SETTINGS[view.setting], 2)
    signs = [
        article(f"{colour} {word} sign"),
        f"{article(colour)} sign that says {word}",
        f"{article(colour)} sign with the word {word}",
        f"the word {word} on {article(colour)} sign",
        f"{article(colour)} sign reading {word}",
    ]
    one, two = rng.sample(signs, 2)
    return f"{one} {setting[0]}", f"{two} {setting[1]}" if rng.random() < 0.6 else f"{setting[1]}, {two}"


def _styled(caption: str, rng: random.Random) -> str:
    """CAPTION as it is, or as a sentence with a capital, with or without a full stop."""
    style = rng.random()
    if style < 0.5:
        return caption
    sentence = caption[0].upper() + caption[1:]
    return sentence if style < 0.75 else f"{sentence}."


_WRITERS: dict[str, Writer] = {"patterns": _pattern_captions, "signs": _sign_captions}
