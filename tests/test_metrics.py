"""Metrics against their plain definitions, on the whole matrix of scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.types import F32, I64, Array
from indexer.metrics import (
    PairRanks,
    average_precision,
    interval,
    ndcg,
    pair_ranks,
    ranks,
    recall_gain,
    recall_interval,
)


def unit(rng: np.random.Generator, n: int, d: int) -> F32:
    x = rng.standard_normal((n, d)).astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def whole(queries: F32, items: F32) -> F32:
    return np.asarray((queries.astype(np.float64) @ items.astype(np.float64).T).astype(np.float32))


def precision_by_hand(scores: Array, right: Array, first: int) -> float:
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], item))[:first]
    found = [place for place, item in enumerate(order, 1) if right[item]]
    return float(np.mean([count / place for count, place in enumerate(found, 1)])) if found else 0.0


def gain_by_hand(scores: Array, right: Array, first: int) -> float:
    order = sorted(range(len(scores)), key=lambda item: (-scores[item], item))[:first]
    gain = sum(right[item] / np.log2(place + 1) for place, item in enumerate(order, 1))
    return float(gain / sum(1 / np.log2(place + 1) for place in range(1, min(first, right.sum()) + 1)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 99))
def test_recall_equals_counting_by_hand(images: int, each: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, owner = unit(rng, images, 8), np.repeat(np.arange(images), each)
    y = unit(rng, images * each, 8)
    scores = whole(y, x)
    by_hand = [int((scores[j] > scores[j, owner[j]]).sum()) for j in range(len(y))]
    back = [int((scores[:, i][owner != i] > scores[owner == i, i].max()).sum()) for i in range(images)]
    figures = pair_ranks(x, y, owner).figures()
    for k in (1, 5, 10):
        assert figures[f"t2i_r{k}"] == np.mean([rank < k for rank in by_hand])
        assert figures[f"i2t_r{k}"] == np.mean([rank < k for rank in back])
    assert figures["t2i_median_rank"] == np.median(by_hand) + 1


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 400), st.booleans(), st.integers(0, 999))
def test_blocks_of_any_size_equal_the_whole_matrix(n: int, m: int, numbers: int, ties: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, items = unit(rng, n, 6), unit(rng, m, 6)
    if ties:
        queries, items = np.sign(queries).astype(np.float32), np.sign(items).astype(np.float32)
    wanted, labels = rng.integers(-1, 4, n), rng.integers(-1, 4, m)
    scores = whole(queries, items)
    rank = ranks(queries, items, wanted, labels, numbers)
    mean = average_precision(queries, items, wanted, labels, None, numbers)
    mean_5 = average_precision(queries, items, wanted, labels, 5, numbers)
    gain = ndcg(queries, items, wanted, labels, 5, numbers)
    for row in range(n):
        right = (labels == wanted[row]) & (wanted[row] >= 0)
        if not right.any():
            assert rank[row] == m and np.isnan([mean[row], mean_5[row], gain[row]]).all()
            continue
        assert rank[row] == (scores[row][~right] >= scores[row][right].max()).sum()
        assert mean[row] == pytest.approx(precision_by_hand(scores[row], right, m), abs=1e-12)
        assert mean_5[row] == pytest.approx(precision_by_hand(scores[row], right, 5), abs=1e-12)
        assert gain[row] == pytest.approx(gain_by_hand(scores[row], right, 5), abs=1e-12)
    whole_at_once = average_precision(queries, items, wanted, labels)
    assert np.array_equal(mean, whole_at_once, equal_nan=True)
    assert np.array_equal(gain, ndcg(queries, items, wanted, labels, 5), equal_nan=True)


def test_mean_average_precision_equals_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    x, y, labels = unit(rng, 9, 12), unit(rng, 60, 12), rng.integers(0, 3, 60)
    ours = average_precision(x, y, np.arange(9) % 3, labels)
    theirs = [average_precision_score(labels == i % 3, row) for i, row in enumerate(whole(x, y))]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_ties_count_against_the_query() -> None:
    same = np.full((5, 4), 0.5, np.float32)
    assert ranks(same[:1], same, np.array([2]), np.arange(5)).tolist() == [4]


def test_what_is_no_number_is_never_first() -> None:
    x = np.eye(6, dtype=np.float32)
    for images, texts in ((x * np.nan, x), (x, x * np.nan), (x * np.nan, x * np.nan)):
        assert ranks(texts, images, np.arange(6), np.arange(6)).tolist() == [5] * 6


def test_perfect_pairs_are_first() -> None:
    x = np.eye(12, dtype=np.float32)
    figures = pair_ranks(x, x, np.arange(12)).figures()
    assert figures["t2i_r1"] == figures["i2t_r1"] == figures["i2t_median_rank"] == 1


def made_ranks(rng: np.random.Generator, pictures: int, skill: float) -> PairRanks:
    owner = np.repeat(np.arange(pictures), 5)
    x = unit(rng, pictures, 16)
    return pair_ranks(x, np.asarray(x[owner] * skill + unit(rng, len(owner), 16), np.float32), owner)


def test_an_interval_holds_its_mean_and_narrows_with_more_pictures() -> None:
    few, many = (made_ranks(np.random.default_rng(0), n, 0.8) for n in (30, 300))
    narrow, wide = recall_interval(many, 1), recall_interval(few, 1)
    figures = many.figures()
    assert narrow.mean == pytest.approx((figures["t2i_r1"] + figures["i2t_r1"]) / 2)
    assert narrow.low < narrow.mean < narrow.high and narrow.high - narrow.low < wide.high - wide.low
    assert recall_interval(many, 1) == narrow


def test_a_gain_is_above_zero_only_when_it_is_one() -> None:
    weak, strong = (made_ranks(np.random.default_rng(1), 200, skill) for skill in (0.5, 1.5))
    assert recall_gain(strong, weak, 1).low > 0 > recall_gain(weak, strong, 1).high
    same = recall_gain(weak, weak, 1)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_captions_of_a_picture_are_drawn_together() -> None:
    values, owner = np.repeat([0.0, 1.0] * 50, 5), np.repeat(np.arange(100), 5)
    by_picture, by_caption = interval([(values, owner)]), interval([(values, np.arange(500))])
    assert by_picture.high - by_picture.low > 1.8 * (by_caption.high - by_caption.low)


def test_queries_that_nothing_answers_take_no_part() -> None:
    own: I64 = np.arange(4)
    assert interval([(np.array([1.0, np.nan, 1.0, np.nan]), own)]).mean == 1
    assert np.isnan(interval([(np.full(4, np.nan), own)]).mean)
