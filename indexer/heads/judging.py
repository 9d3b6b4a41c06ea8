"""Whether a head is better than another: ranks on held-out pairs, and a bootstrap over pictures of their difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from engine.heads import Head
from engine.types import F32, Modality
from indexer.heads.stored_pairs import StoredPairs
from indexer.metrics import Interval, PairRanks, average_precision, pair_ranks, recall_gain, recall_interval
from indexer.splits import MINIMUM

DEPTH, LEAST_HELD_OUT = 10, 20  # with no more held-out pictures than DEPTH, every one is among the first


@dataclass(frozen=True, slots=True)
class Ranked:
    """What one head makes of held-out pairs. precision: mAP by category both ways, where pictures have some."""

    ranks: PairRanks
    precision: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """Recall at 1, 5 and 10, the median rank (1 is first) both ways, "r10" of both, and mAP where it is known."""
        return {**self.ranks.figures(), "r10": self.ranks.r10, **self.precision}


def rank(head: Head, pairs: StoredPairs) -> Ranked:
    """Project held-out pairs, and rank every picture for every caption and back."""
    images, texts = project(head, pairs)
    precision: dict[str, float] = {}
    if pairs.categories is not None and (pairs.categories >= 0).any():
        of_texts = pairs.categories[pairs.owner]
        precision = {
            "t2i_map": float(np.nanmean(average_precision(texts, images, of_texts, pairs.categories))),
            "i2t_map": float(np.nanmean(average_precision(images, texts, pairs.categories, of_texts))),
        }
    return Ranked(pair_ranks(images, texts, pairs.owner), precision)


def project(head: Head, pairs: StoredPairs) -> tuple[F32, F32]:
    """The pictures (n, d) and texts (m, d) of pairs as unit rows of a head's joint space."""
    images = head.project(pairs.images, Modality.IMAGE)
    if head.texts is not None:
        return images, head.project_texts(pairs.words)
    assert pairs.texts is not None
    return images, head.project(pairs.texts, Modality.TEXT)


def chance(ranked: PairRanks) -> float:
    """The R@10, averaged over both directions, of an order drawn at random."""
    m, n = len(ranked.t2i), len(ranked.i2t)
    depth = min(DEPTH, m)
    missed = [comb(m - int(own), depth) / comb(m, depth) for own in np.bincount(ranked.owner, minlength=n)]
    return (min(1.0, DEPTH / n) + 1 - float(np.mean(missed))) / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to promote, why not, and the figures: R@10's interval, and of the difference to each rival."""

    better: bool
    why: str
    interval: list[float]
    against: dict[str, dict[str, Any]]


def judge(new: Ranked, rivals: Mapping[str, Ranked], trained_on: int) -> Verdict:
    """Better than each rival, by the paired bootstrap's 95 % interval of the difference; than chance, if there is none.

    trained_on: pictures. Too few of them, or too few held out, promote nothing: no figure would mean anything.
    """
    own = recall_interval(new.ranks, DEPTH)
    against = {
        name: _gain(old.figures["r10"], recall_gain(new.ranks, old.ranks, DEPTH)) for name, old in rivals.items()
    }
    if not rivals:
        luck = chance(new.ranks)
        against = {"chance": _gain(luck, Interval(own.mean - luck, own.low - luck, own.high - luck))}
    held_out = len(new.ranks.i2t)
    why = ""
    if trained_on < MINIMUM or held_out < LEAST_HELD_OUT:
        why = (
            f"{trained_on:,} captioned pictures to train on and {held_out:,} held out are too few to tell: at least "
            f"{MINIMUM} and {LEAST_HELD_OUT} are needed"
        )
    elif lost := {name: facts for name, facts in against.items() if facts["interval"][0] <= 0}:
        why = "it does not surely beat " + ", nor ".join(
            f"{name} ({_difference(facts)})" for name, facts in lost.items()
        )
    return Verdict(not why, why, _bounds(own), against)


def lost_elsewhere(new: Mapping[str, Ranked], served: Mapping[str, Ranked]) -> str:
    """In which of further languages a head surely finds less than the one that is served, in words; "" in none."""
    lost = [
        f"{lang} ({_difference(_gain(served[lang].figures['r10'], gain))})"
        for lang in list(new)[1:]
        if lang in served and (gain := recall_gain(new[lang].ranks, served[lang].ranks, DEPTH)).high < 0
    ]
    return f"it finds less in {', '.join(lost)}: learn from those captions too, with --lang" if lost else ""


def _gain(of: float, difference: Interval) -> dict[str, Any]:
    return {"r10": of, "difference": difference.mean, "interval": _bounds(difference)}


def _bounds(interval: Interval) -> list[float]:
    return [round(interval.low, 6), round(interval.high, 6)]


def _difference(facts: Mapping[str, Any]) -> str:
    low, high = facts["interval"]
    return f"R@10 differs by {facts['difference']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
