"""Which pictures the library holds: compositions, their split and their captions, before any drawing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, cycle, islice, product, zip_longest
from typing import Literal

from indexer.samples.captions import write_captions
from indexer.samples.catalog import BY_NAME, FAMILIES, HERO, SIDES, SUBJECTS, Subject
from indexer.samples.view import View

LEAST = 60
"""The smallest library: enough for every family to be seen in both splits."""

Split = Literal["train", "val"]
Triple = tuple[str, str, str]

_NEVER_HELD_OUT = (HERO, ("sailboat", "red", "sunset"), ("ship", "red", "sunset"))
"""The first thing people are told to try is learned, whatever else is kept for measuring."""

_HERO_VIEWS: tuple[tuple[int, str, str], ...] = (
    (1, "left", "birds"),
    (1, "right", "lighthouse"),
    (2, "center", ""),
    (1, "center", "island"),
    (3, "center", "birds"),
    (1, "left", "lighthouse"),
)


@dataclass(frozen=True)
class Picture:
    """One picture of the library: what it shows, its split and its two captions."""

    index: int
    split: Split
    view: View
    captions: tuple[str, str]

    @property
    def name(self) -> str:
        """The file name, "0001-red-boat-sunset.jpg"."""
        words = f"{self.view.colour} {self.view.subject.name} {self.view.setting}"
        return f"{self.index:04d}-{words.replace(' ', '-')}.jpg"


def describe(index: int, seed: int, count: int) -> Picture:
    """The plan of picture INDEX (from 1) of a library of COUNT pictures; IndexError where there is none."""
    if not 1 <= index <= count:
        raise IndexError(f"no picture {index} in a library of {count}")
    return plan_library(count, seed)[index - 1]


@lru_cache(maxsize=4)
def plan_library(count: int, seed: int) -> tuple[Picture, ...]:
    """Plan every picture, in order; ValueError for a COUNT below LEAST.

    A twelfth of the pictures, and ten at least, are "val": their (subject, colour, setting) is in no
    "train" picture.
    """
    if count < LEAST:
        raise ValueError(f"a sample library needs at least {LEAST} pictures, not {count}")
    rng = random.Random(f"plan/{seed}")
    held = _held_out(rng)
    wanted = max(10, round(count / 12))
    val = [_view(triple, rng) for triple in held[:wanted]]
    train = islice(chain(_hero_views(wanted), _train_views(rng, set(held))), count - len(val))
    chosen: list[tuple[Split, View]] = [("val", view) for view in val]
    chosen += [("train", view) for view in train]
    rng.shuffle(chosen)
    return tuple(
        Picture(index, split, view, write_captions(view, random.Random(f"words/{seed}/{index}")))
        for index, (split, view) in enumerate(chosen, start=1)
    )


def _hero_views(wanted: int) -> tuple[View, ...]:
    views = (View(BY_NAME["boat"], "red", "sunset", *rest) for rest in _HERO_VIEWS)
    return tuple(islice(views, max(1, round(wanted * 0.06))))


def _held_out(rng: random.Random) -> list[Triple]:
    """The compositions kept from train, one family after another so that any first few are varied."""
    families = [list(_held_out_of(family, rng)) for family in FAMILIES]
    rounds = chain.from_iterable(zip_longest(*families))
    return [triple for triple in rounds if triple]


def _held_out_of(family: str, rng: random.Random) -> Iterator[Triple]:
    """One composition of each subject of FAMILY, then a second one that shares nothing with the first."""
    firsts = {}
    for subject in _of_family(family):
        firsts[subject] = (rng.choice(subject.colours), rng.choice(subject.settings))
    seconds = {
        subject: (
            rng.choice([colour for colour in subject.colours if colour != first[0]]),
            rng.choice([setting for setting in subject.settings if setting != first[1]]),
        )
        for subject, first in firsts.items()
    }
    for chosen in (firsts, seconds):
        for subject, pair in chosen.items():
            triple = (subject.name, *pair)
            if pair[0] != pair[1] and triple not in _NEVER_HELD_OUT:
                yield triple


def _train_views(rng: random.Random, held: set[Triple]) -> Iterator[View]:
    """Views without end, the families by turns, each going evenly through its own compositions."""
    sources = [cycle(_subject_turns(family, rng)) for family in FAMILIES]
    decks: dict[str, Iterator[Triple]] = {}
    for subject in SUBJECTS:
        triples = [(subject.name, *pair) for pair in product(subject.colours, subject.settings) if pair[0] != pair[1]]
        triples = [triple for triple in triples if triple not in held]
        rng.shuffle(triples)
        decks[subject.name] = cycle(triples)
    for source in cycle(sources):
        yield _view(next(decks[next(source).name]), rng)


def _subject_turns(family: str, rng: random.Random) -> list[Subject]:
    turns = [subject for subject in _of_family(family) for _ in range(subject.weight)]
    rng.shuffle(turns)
    return turns


def _of_family(family: str) -> list[Subject]:
    return [subject for subject in SUBJECTS if subject.family == family]


def _view(triple: Triple, rng: random.Random) -> View:
    """One way to show a composition; groups stand across the picture, so only a single one has a side."""
    subject = BY_NAME[triple[0]]
    count = rng.choice(subject.counts)
    side = rng.choice(SIDES) if subject.sided and count == 1 else "center"
    return View(subject, triple[1], triple[2], count, side, rng.choice(subject.details))
