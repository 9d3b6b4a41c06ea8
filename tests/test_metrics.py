"""Metrics against their plain definitions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types import F32
from indexer.metrics import ranks, recall_both_ways


def unit(rng: np.random.Generator, n: int, d: int) -> F32:
    x = rng.standard_normal((n, d)).astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 99))
def test_recall_equals_counting_by_hand(images: int, each: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, owner = unit(rng, images, 8), np.repeat(np.arange(images), each)
    y = unit(rng, images * each, 8)
    scores = y @ x.T
    by_hand = [int((scores[j] > scores[j, owner[j]]).sum()) for j in range(len(y))]
    back = [int((scores[:, i][owner != i] > scores[owner == i, i].max()).sum()) for i in range(images)]
    figures = recall_both_ways(x, y, owner)
    for k in (1, 5, 10):
        assert figures[f"t2i_r{k}"] == np.mean([rank < k for rank in by_hand])
        assert figures[f"i2t_r{k}"] == np.mean([rank < k for rank in back])
    assert figures["t2i_median_rank"] == np.median(by_hand) + 1


def test_ties_count_against_the_query() -> None:
    same = np.full((5, 4), 0.5, np.float32)
    assert ranks(same[:1], same, [np.array([2])]).tolist() == [4]


def test_perfect_pairs_are_first() -> None:
    x = np.eye(12, dtype=np.float32)
    figures = recall_both_ways(x, x, np.arange(12))
    assert figures["t2i_r1"] == figures["i2t_r1"] == figures["i2t_median_rank"] == 1
