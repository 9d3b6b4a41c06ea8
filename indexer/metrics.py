"""Retrieval metrics over embeddings, computed in blocks so that a large library fits."""

import numpy as np

from engine.types import F32, I64

_BLOCK = 1024


def ranks(queries: F32, items: F32, right: list[I64]) -> I64:
    """For each query (n, d) the rank (0 is first) of its best right item among items (m, d), by inner product.

    right: for each query the rows of the items that answer it. A tie counts against the query.
    """
    out = np.empty(len(queries), np.int64)
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ items.T
        for row, own in enumerate(scores):
            answers = right[start + row]
            better = own >= own[answers].max()
            better[answers] = False
            out[start + row] = int(better.sum())
    return out


def recall(ranked: I64, k: int) -> float:
    """The share of queries whose right item is among the first k."""
    return float((ranked < k).mean())


def recall_both_ways(images: F32, texts: F32, owner: I64) -> dict[str, float]:
    """Recall at 1, 5, 10 and the median rank (1 is first): t2i over all texts, i2t by the best caption of each image.

    images: (n, d), texts: (m, d) unit rows; owner: (m,) the row of each text's image.
    """
    to_images = ranks(texts, images, list(owner[:, None]))
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], np.arange(len(images) + 1))
    to_texts = ranks(images, texts, [order[bounds[i] : bounds[i + 1]] for i in range(len(images))])
    figures: dict[str, float] = {}
    for name, ranked in (("t2i", to_images), ("i2t", to_texts)):
        figures |= {f"{name}_r{k}": recall(ranked, k) for k in (1, 5, 10)}
        figures[f"{name}_median_rank"] = float(np.median(ranked)) + 1
    return figures
