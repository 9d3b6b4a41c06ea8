"""How well held-out pictures and their captions find each other over full vectors, with how sure that is."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.catalog import Catalog
from engine.heads import Head
from engine.types import F32, I64, Array
from indexer.heads.judging import project
from indexer.heads.stored_pairs import StoredPairs
from indexer.metrics import PairRanks, average_precision, interval, median_interval, ndcg, pair_ranks, recall_gain

WAYS = ("t2i", "i2t")
_DEPTHS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
_BINS = (1, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000)
_WORST, _SHOWN = 10, 300


@dataclass(frozen=True, slots=True)
class Measured:
    """Pairs in a joint space, images (n, d) and texts (m, d), with what each query got: values (q,), picture (q,)."""

    images: F32
    texts: F32
    ranks: PairRanks
    values: dict[str, tuple[Array, I64]]

    def figures(self) -> dict[str, float]:
        """Recall at 1, 5, 10, median rank (1 is first), nDCG@10, and mAP by category where known, both ways."""
        return {**self.ranks.figures(), **{name: float(np.nanmean(x)) for name, (x, _) in self.values.items()}}

    def intervals(self) -> dict[str, list[float]]:
        """The 95 % bootstrap interval, by picture, of each figure."""
        found: dict[str, list[float]] = {}
        for way, (ranked, picture) in zip(WAYS, self.sides(), strict=True):
            found |= {f"{way}_r{k}": _interval(ranked < k, picture) for k in (1, 5, 10)}
            found[f"{way}_median_rank"] = list(median_interval(ranked, picture))
        return found | {name: _interval(*value) for name, value in self.values.items()}

    def sides(self) -> tuple[tuple[I64, I64], tuple[I64, I64]]:
        """Both ways, the ranks of the queries (0 is first), and the picture of each."""
        return (self.ranks.t2i, self.ranks.owner), (self.ranks.i2t, np.arange(len(self.ranks.i2t)))


def measure(head: Head, pairs: StoredPairs) -> Measured:
    """Project held-out pairs by a head, and rank every picture for every caption and back."""
    images, texts = project(head, pairs)
    rows = np.arange(len(images))
    values: dict[str, tuple[Array, I64]] = {
        "t2i_ndcg10": (ndcg(texts, images, pairs.owner, rows), pairs.owner),
        "i2t_ndcg10": (ndcg(images, texts, rows, pairs.owner), rows),
    }
    if pairs.categories is not None and (pairs.categories >= 0).any():
        of, of_texts = pairs.categories, pairs.categories[pairs.owner]
        for name, first in (("map", None), ("map50", 50)):
            values[f"t2i_{name}"] = average_precision(texts, images, of_texts, of, first), pairs.owner
            values[f"i2t_{name}"] = average_precision(images, texts, of, of_texts, first), rows
    return Measured(images, texts, pair_ranks(images, texts, pairs.owner), values)


def described(measured: Measured) -> dict[str, Any]:
    """Figures with their intervals and with what they are of, as JSON values."""
    counts = {"images": len(measured.images), "captions": len(measured.texts)}
    return {**counts, "figures": measured.figures(), "intervals": measured.intervals()}


def gain(served: Measured, other: Measured) -> dict[str, Any]:
    """By how much R@10, both ways averaged, of what is served is above another's, with the paired interval."""
    found = recall_gain(served.ranks, other.ranks)
    return {"difference": found.mean, "interval": [found.low, found.high]}


def recall_curve(measured: Measured) -> dict[str, list[dict[str, float]]]:
    """Recall at growing k both ways, with intervals."""
    curves: dict[str, list[dict[str, float]]] = {}
    for way, (ranked, picture) in zip(WAYS, measured.sides(), strict=True):
        pool = len(measured.images) if way == "t2i" else len(measured.texts)
        curves[way] = []
        for k in [depth for depth in _DEPTHS if depth < pool] or [1]:
            low, high = _interval(ranked < k, picture)
            curves[way].append({"k": k, "recall": float((ranked < k).mean()), "low": low, "high": high})
    return curves


def histogram(measured: Measured) -> dict[str, list[dict[str, float]]]:
    """The share of queries whose right answer has a rank from `first` to `last` (1 is first), both ways."""
    found: dict[str, list[dict[str, float]]] = {}
    most = max(len(measured.images), len(measured.texts))
    last = [end for end in _BINS if end < most] + [most]
    for way, (ranked, _) in zip(WAYS, measured.sides(), strict=True):
        counts = np.bincount(np.searchsorted(last, np.minimum(ranked + 1, most)), minlength=len(last))
        starts = [1, *(end + 1 for end in last[:-1])]
        found[way] = [
            {"first": first, "last": end, "share": float(count / len(ranked))}
            for first, end, count in zip(starts, last, counts, strict=True)
        ]
    return found


def worst_queries(catalog: Catalog, pairs: StoredPairs, measured: Measured) -> list[dict[str, Any]]:
    """The captions whose own picture ranks lowest, the lowest first, and what was found first instead."""
    ranked = measured.ranks.t2i
    chosen = [int(text) for text in np.argsort(-ranked, kind="stable")[:_WORST] if ranked[text] > 0]
    scores = measured.texts[chosen] @ measured.images.T
    wanted, found = pairs.pictures[pairs.owner[chosen]], pairs.pictures[scores.argmax(axis=1)]
    views = {view.item.id: view for view in catalog.items([*wanted.tolist(), *found.tolist()])}
    return [
        {
            "caption": pairs.words[text][:_SHOWN],
            "rank": int(ranked[text]) + 1,
            "path": views[int(right)].item.path,
            "found_first": views[int(first)].item.path,
            "found_caption": (views[int(first)].caption or "")[:_SHOWN],
        }
        for text, right, first in zip(chosen, wanted, found, strict=True)
        if int(right) in views and int(first) in views
    ]


def _interval(values: Array, picture: I64) -> list[float]:
    found = interval([(np.asarray(values, np.float64), picture)])
    return [found.low, found.high]
