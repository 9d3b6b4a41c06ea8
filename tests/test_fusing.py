"""Ranked lists made into one, against the formula as it is published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fusing import K, reciprocal_ranks

LISTS = st.lists(st.lists(st.integers(1, 30), unique=True, max_size=20), max_size=4)


@given(LISTS)
def test_every_id_has_the_sum_of_its_reciprocal_ranks(lists: list[list[int]]) -> None:
    ids, sums = reciprocal_ranks([np.array(one, np.int64) for one in lists])
    truth = {i: sum(1 / (K + one.index(i) + 1) for one in lists if i in one) for one in lists for i in one}
    assert dict(zip(ids.tolist(), sums.tolist(), strict=True)) == pytest.approx(truth, abs=1e-6)
    assert sums.tolist() == sorted(sums.tolist(), reverse=True)


@given(st.lists(st.integers(1, 30), unique=True, max_size=20))
def test_one_list_stays_as_it_is(ids: list[int]) -> None:
    for lists in ([ids], [ids, []], [[], ids]):
        assert reciprocal_ranks([np.array(one, np.int64) for one in lists])[0].tolist() == ids


def test_ties_go_to_the_first_list() -> None:
    assert reciprocal_ranks([np.array([9, 8]), np.array([1, 2])])[0].tolist() == [9, 1, 8, 2]


def test_what_both_lists_hold_comes_before_what_one_does() -> None:
    assert reciprocal_ranks([np.array([5, 7]), np.array([6, 7])])[0][0] == 7
