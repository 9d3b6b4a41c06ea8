"""Inverted lists lose no more under a filter, or after removals, than without, whatever it has to do with queries."""

from collections.abc import Callable

import numpy as np
import pytest

from engine.codecs import Scanned
from engine.filtering import Filter
from engine.lists import Depths, ListBackend
from engine.store import HeldRows
from engine.types import F32, I64, Bool
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product
from tests.test_lists import unit

DIM, COUNT, LISTS = 24, 12_000, 128


def clusters(count: int, seed: int) -> F32:
    centres = np.random.default_rng(3).standard_normal((300, DIM), np.float32)
    rng = np.random.default_rng(seed)
    return unit(centres[rng.integers(0, len(centres), count)] + 0.6 * rng.standard_normal((count, DIM), np.float32))


ROWS = clusters(COUNT, 0)
QUERIES = unit(clusters(260, 1) + np.float32(0.3))  # off the rows' own distribution, as captions are
IDS = np.arange(COUNT) * 2 + 5


@pytest.fixture(scope="module")
def backend() -> ListBackend:
    codec = train_product(Asked.of(ROWS, QUERIES[:100]), 12, 4, lists=LISTS)
    return filled(codec)


def filled(codec: Scanned) -> ListBackend:
    backend = ListBackend(codec, HeldRows.none(DIM), Depths(12, 60, 0.9))
    backend.upsert(IDS, backend.codec.quantize(ROWS), HeldRows(ROWS), {})
    return backend


def recall(backend: ListBackend, queries: F32, where: Filter | None) -> float:
    """The share of the exact first ten that comes out, one query at a time."""
    found = there = 0
    for query in np.split(queries, len(queries)):
        truth = backend.exact(query, 10, where)[0]
        ids = backend.rescore(query, backend.recall(query, backend.depths.candidates, where)[0], 10)[0]
        found += int(np.isin(truth[truth >= 0], ids).sum())
        there += int((truth >= 0).sum())
    return found / there


def drawn(share: float) -> Bool:
    return np.random.default_rng(7).random(COUNT) < share


def alike(share: float) -> Bool:
    """What lies in one direction, as a folder of one subject does: some lists hold much of it, most hold nothing."""
    along = ROWS @ np.random.default_rng(8).standard_normal(DIM).astype(np.float32)
    return np.asarray(along >= np.quantile(along, 1 - share))


@pytest.mark.parametrize("chosen", [drawn, alike])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_a_filter_loses_nothing_more(backend: ListBackend, chosen: Callable[[float], Bool], share: float) -> None:
    without = recall(backend, QUERIES[100:], None)
    assert 0.8 < without < 0.98
    assert recall(backend, QUERIES[100:], Filter(IDS[chosen(share)])) >= without


@pytest.mark.parametrize("chosen", [drawn, alike])
def test_what_was_removed_takes_no_place_among_what_is_looked_at(
    backend: ListBackend, chosen: Callable[[float], Bool]
) -> None:
    without = recall(backend, QUERIES[100:], None)
    fresh = filled(backend.codec)
    gone: I64 = IDS[~chosen(0.05)]
    assert fresh.delete(gone) == len(gone)
    assert recall(fresh, QUERIES[100:], None) >= without
    fresh.upsert(gone, fresh.codec.quantize(ROWS[~chosen(0.05)]), HeldRows(ROWS[~chosen(0.05)]), {})
    assert recall(fresh, QUERIES[100:], None) >= without - 0.01  # dead rows stay in their lists until the next version
