"""Retrieval metrics over embeddings: first what each query got, in blocks so that a large library fits; then summaries.

What is right is told by labels: an item answers a query of the same label (the row of a picture for pairs, a category
for classes); -1 answers nothing. Scores are inner products, summed in float64 and rounded to float32, so that neither
the size of a block nor the order of a sum decides between two items of the same score.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine.types import F32, I64, Array, Bool

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F64 = NDArray[np.float64]

_NUMBERS = 1 << 24  # scores held at once
_SAMPLES, _CONFIDENCE = 1000, 0.95


def ranks(queries: F32, items: F32, wanted: I64, labels: I64, numbers: int = _NUMBERS) -> I64:
    """For each query (n, d) the rank (0 is first) of its best right item among items (m, d). A tie counts against it.

    So does a score that is no number.

    wanted: (n,) the label that answers each query; labels: (m,). A query that nothing answers has rank m.
    """
    out = np.empty(len(queries), np.int64)
    for rows, scores in _scores(queries, items, numbers):
        right = _right(wanted[rows], labels)
        best = np.where(right, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
        found = ~(scores < best) & ~right
        out[rows] = np.where(right.any(axis=1), found.sum(axis=1), len(items))
    return out


def average_precision(
    queries: F32, items: F32, wanted: I64, labels: I64, first: int | None = None, numbers: int = _NUMBERS
) -> "F64":
    """For each query the mean of the precisions at its right items, among all items or the `first` ones: (n,).

    With `first`, the mean is over the right items found there, and 0 when none is (Rasiwasia et al. 2010's mAP@50).
    Of two items with one score the earlier row comes first. NaN for a query that nothing answers.
    """
    out = np.empty(len(queries))
    for rows, right in _in_order(queries, items, wanted, labels, numbers):
        any_right = right.any(axis=1)
        kept = right[:, :first]
        precision = np.cumsum(kept, axis=1) / np.arange(1, kept.shape[1] + 1)
        mean = (precision * kept).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)
        out[rows] = np.where(any_right, mean, np.nan)
    return out


def ndcg(queries: F32, items: F32, wanted: I64, labels: I64, first: int = 10, numbers: int = _NUMBERS) -> "F64":
    """For each query the discounted gain of the `first` items over the best there can be: (n,); ties and NaN as above.

    An item gains 1 when right, over log2(1 + its place) (Järvelin and Kekäläinen 2002).
    """
    out = np.empty(len(queries))
    discounts = 1 / np.log2(np.arange(2, min(first, len(items)) + 2))
    best = np.concatenate([[0.0], np.cumsum(discounts)])
    for rows, right in _in_order(queries, items, wanted, labels, numbers):
        gains = (right[:, :first] * discounts).sum(axis=1)
        ideal = best[np.minimum(right.sum(axis=1), len(discounts))]
        out[rows] = np.divide(gains, ideal, out=np.full(len(gains), np.nan), where=ideal > 0)
    return out


@dataclass(frozen=True, slots=True)
class PairRanks:
    """What each query of the pairs got. t2i: (m,) rank of each text's picture; i2t: (n,) rank of each picture's best
    text; owner: (m,) the row of each text's picture."""

    t2i: I64
    i2t: I64
    owner: I64

    def figures(self) -> dict[str, float]:
        """Recall at 1, 5, 10 and the median rank (1 is first), each way: {"t2i_r1": …, "i2t_median_rank": …}."""
        found: dict[str, float] = {}
        for name, ranked in (("t2i", self.t2i), ("i2t", self.i2t)):
            found |= {f"{name}_r{k}": recall(ranked, k) for k in (1, 5, 10)}
            found[f"{name}_median_rank"] = float(np.median(ranked)) + 1
        return found

    @property
    def r10(self) -> float:
        """Recall at 10 averaged over both ways."""
        return (recall(self.t2i, 10) + recall(self.i2t, 10)) / 2

    def hits(self, k: int) -> tuple[tuple[Array, I64], tuple[Array, I64]]:
        """Both ways, whether each query was answered within k, and its picture: what `interval` takes."""
        return ((self.t2i < k).astype(np.float64), self.owner), (
            (self.i2t < k).astype(np.float64),
            np.arange(len(self.i2t)),
        )


def pair_ranks(images: F32, texts: F32, owner: I64) -> PairRanks:
    """Rank the pairs both ways. images: (n, d), texts: (m, d) unit rows; owner: (m,) the row of each text's image."""
    rows = np.arange(len(images))
    return PairRanks(ranks(texts, images, owner, rows), ranks(images, texts, rows, owner), owner)


def recall(ranked: I64, k: int) -> float:
    """The share of queries whose right item is among the first k."""
    return float((ranked < k).mean())


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the bounds of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def interval(parts: Sequence[tuple[Array, I64]], seed: int = 0, samples: int = _SAMPLES) -> Interval:
    """The mean over `parts` of each part's mean, and its percentile bootstrap interval (Efron 1979).

    parts: values (n,) of queries with the picture (n,) each belongs to. Pictures are drawn, not queries: captions of
    one picture are not independent. NaN values take no part. For a paired difference, give values that are differences.
    """
    pictures = 1 + max(int(picture.max(initial=-1)) for _, picture in parts)
    known = [(values[~np.isnan(values)], picture[~np.isnan(values)]) for values, picture in parts]
    sums = np.stack([np.bincount(picture, values, pictures) for values, picture in known])  # (parts, pictures)
    counts = np.stack([np.bincount(picture, minlength=pictures) for _, picture in known])
    present = counts.any(axis=0)
    sums, counts = sums[:, present], counts[:, present]
    if not counts.any(axis=1).all():
        return Interval(float("nan"), float("nan"), float("nan"))
    rng, means = np.random.default_rng(seed), np.empty(samples)
    for sample in range(samples):
        drawn = rng.integers(counts.shape[1], size=counts.shape[1])
        means[sample] = (sums[:, drawn].sum(axis=1) / np.maximum(counts[:, drawn].sum(axis=1), 1)).mean()
    low, high = np.quantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Interval(float((sums.sum(axis=1) / counts.sum(axis=1)).mean()), float(low), float(high))


def median_interval(ranked: I64, picture: I64, seed: int = 0, samples: int = _SAMPLES) -> tuple[float, float]:
    """The bounds of the 95 % bootstrap interval, by picture, of the median of `ranked` (n,), whose first is 1."""
    order = np.argsort(ranked, kind="stable")
    values, owner, pictures = ranked[order], picture[order], np.unique(picture)
    rng, medians = np.random.default_rng(seed), np.empty(samples)
    for sample in range(samples):
        drawn = pictures[rng.integers(len(pictures), size=len(pictures))]
        through = np.cumsum(np.bincount(drawn, minlength=int(pictures[-1]) + 1)[owner])
        middle = np.searchsorted(through, [(through[-1] - 1) // 2, through[-1] // 2], side="right")
        medians[sample] = values[middle].mean() + 1
    low, high = np.quantile(medians, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)


def recall_interval(ranked: PairRanks, k: int = 10, seed: int = 0) -> Interval:
    """Recall at k averaged over both ways."""
    return interval(ranked.hits(k), seed)


def recall_gain(new: PairRanks, old: PairRanks, k: int = 10, seed: int = 0) -> Interval:
    """How much better `new` ranks the same pairs than `old`: the paired difference of recall at k over both ways."""
    return interval([(a - b, own) for (a, own), (b, _) in zip(new.hits(k), old.hits(k), strict=True)], seed)


def _scores(queries: F32, items: F32, numbers: int) -> Iterator[tuple[slice, F32]]:
    rows, columns = max(1, numbers // max(1, len(items))), max(1, numbers // max(1, items.shape[1]))
    for start in range(0, len(queries), rows):
        block = queries[start : start + rows].astype(np.float64)
        scores = np.empty((len(block), len(items)), np.float32)
        for column in range(0, len(items), columns):
            scores[:, column : column + columns] = block @ items[column : column + columns].astype(np.float64).T
        yield slice(start, start + len(block)), scores


def _right(wanted: I64, labels: I64) -> Bool:
    right: Bool = (wanted[:, None] == labels) & (wanted[:, None] >= 0)
    return right


def _in_order(queries: F32, items: F32, wanted: I64, labels: I64, numbers: int) -> Iterator[tuple[slice, Bool]]:
    """Blocks of queries, and whether each item is right, best item first."""
    for rows, scores in _scores(queries, items, numbers):
        order = np.argsort(-scores, axis=1, kind="stable")
        yield rows, np.take_along_axis(_right(wanted[rows], labels), order, axis=1)
