"""Whether a head is better than another: ranks on held-out pairs, and a bootstrap over pictures of their difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from engine.heads import Head
from engine.types import F32, I64, Array, Modality
from indexer.metrics import ranks, recall
from indexer.splits import MINIMUM
from indexer.stored_pairs import StoredPairs

DEPTH, LEAST_HELD_OUT = 10, 20  # with no more held-out pictures than DEPTH, every one is among the first
_RESAMPLES, _BLOCK = 2000, 100


@dataclass(frozen=True, slots=True)
class Ranked:
    """What one head makes of held-out pairs. Ranks from 0.

    to_images: (m,) of each caption's picture. to_texts: (n,) of each picture's best caption. owner: (m,) of the pairs.
    precision: mean average precision by category in both directions, where pictures have some.
    """

    to_images: I64
    to_texts: I64
    owner: I64
    precision: dict[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """Recall at 1, 5 and 10, the median rank (1 is first) both ways, "r10" of both, and mAP where it is known."""
        out: dict[str, float] = {}
        for way, ranked in (("t2i", self.to_images), ("i2t", self.to_texts)):
            out |= {f"{way}_r{k}": recall(ranked, k) for k in (1, 5, 10)}
            out[f"{way}_median_rank"] = float(np.median(ranked)) + 1
        return {**out, "r10": (out["t2i_r10"] + out["i2t_r10"]) / 2, **self.precision}


def rank(head: Head, pairs: StoredPairs) -> Ranked:
    """Project held-out pairs, and rank every picture for every caption and back."""
    images = head.project(pairs.images, Modality.IMAGE)
    if head.texts is None:
        assert pairs.texts is not None
        texts = head.project(pairs.texts, Modality.TEXT)
    else:
        texts = head.project_texts(pairs.words)
    order = np.argsort(pairs.owner, kind="stable")
    bounds = np.searchsorted(pairs.owner[order], np.arange(len(images) + 1))
    to_texts = ranks(images, texts, [order[bounds[i] : bounds[i + 1]] for i in range(len(images))])
    precision: dict[str, float] = {}
    if pairs.categories is not None:
        of_texts = pairs.categories[pairs.owner]
        precision = {
            "t2i_map": _average_precision(texts, of_texts, images, pairs.categories),
            "i2t_map": _average_precision(images, pairs.categories, texts, of_texts),
        }
    return Ranked(ranks(texts, images, list(pairs.owner[:, None])), to_texts, pairs.owner, precision)


def _average_precision(queries: F32, query_of: I64, items: F32, item_of: I64) -> float:
    """Mean average precision over all items, where an item of the query's category is right; -1 is no category."""
    total, count = 0.0, 0
    for query, category in zip(queries, query_of, strict=True):
        right = (item_of == category)[np.argsort(-(items @ query), kind="stable")]
        if category >= 0 and right.any():
            places = np.flatnonzero(right)
            total, count = total + float(((np.arange(len(places)) + 1) / (places + 1)).mean()), count + 1
    return total / count if count else 0.0


def resampled(rankings: Mapping[str, Ranked], seed: int = 0) -> dict[str, Array]:
    """R@10 averaged over both directions, of the same resamples of the pictures for every ranking (resamples,)."""
    first = next(iter(rankings.values()))
    n, rng = len(first.to_texts), np.random.default_rng(seed)
    captions = np.bincount(first.owner, minlength=n)
    found = {
        name: (np.bincount(one.owner, one.to_images < DEPTH, n), one.to_texts < DEPTH) for name, one in rankings.items()
    }
    parts: dict[str, list[Array]] = {name: [] for name in rankings}
    for _ in range(_RESAMPLES // _BLOCK):
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=_BLOCK)
        for name, (images, texts) in found.items():
            parts[name].append((drawn @ images / (drawn @ captions) + drawn @ texts / n) / 2)
    return {name: np.concatenate(some) for name, some in parts.items()}


def interval(values: Array) -> list[float]:
    """The middle 95 % of bootstrap values."""
    return [round(float(bound), 6) for bound in np.percentile(values, (2.5, 97.5))]


def chance(ranked: Ranked) -> float:
    """The R@10, averaged over both directions, of an order drawn at random."""
    m, n = len(ranked.to_images), len(ranked.to_texts)
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
    samples = resampled({"": new, **rivals})
    own, score = samples.pop(""), new.figures["r10"]
    if rivals:
        beaten = {name: (ranked.figures["r10"], samples[name]) for name, ranked in rivals.items()}
    else:
        beaten = {"chance": (chance(new), np.full_like(own, chance(new)))}
    against: dict[str, dict[str, Any]] = {
        name: {"r10": of, "difference": score - of, "interval": interval(own - drawn)}
        for name, (of, drawn) in beaten.items()
    }
    held_out = len(new.to_texts)
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
    return Verdict(not why, why, interval(own), against)


def _difference(facts: Mapping[str, Any]) -> str:
    low, high = facts["interval"]
    return f"R@10 differs by {facts['difference']:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}"
