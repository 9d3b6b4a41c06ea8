"""Ranked lists made into one: by reciprocal rank."""

from collections.abc import Sequence

import numpy as np

from engine.types import F32, I64

K = 5  # how far the first ranks stand out; 60, as published, buries what no caption describes (see DESIGN.md)


def reciprocal_ranks(lists: Sequence[I64], k: int = K) -> tuple[I64, F32]:
    """Ids (n,) by the sum of 1 / (k + rank) over the lists that hold them, and these sums (n,), best first.

    Each list holds an id once, best first; ranks begin at 1. Ties go to the first list, then to the smaller id.
    Cormack, Clarke and Buettcher 2009.
    """
    ids, place = np.unique(np.concatenate([np.empty(0, np.int64), *lists]), return_inverse=True)
    sums, first, start = np.zeros(len(ids)), np.full(len(ids), len(ids)), 0
    if lists:
        first[place[: len(lists[0])]] = np.arange(len(lists[0]))
    for one in lists:
        sums[place[start : start + len(one)]] += 1 / (k + np.arange(1, len(one) + 1))
        start += len(one)
    order = np.lexsort((ids, first, -sums))
    return ids[order], sums[order].astype(np.float32)
