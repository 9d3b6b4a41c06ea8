"""Rows that FAISS reads where they lie: the same answers as when they are copied, whatever order they lie in."""

import mmap
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codecs.hashing import SignHash
from engine.filtering import Filter
from engine.index import FaissBackend, write_rows
from engine.lists import Depths, ListBackend
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import F32, I64
from indexer.evaluation.memory import resident_bytes
from tests.test_lists import DIM, LISTED, QUERIES, ROWS, reference

PAGE_ROWS = mmap.PAGESIZE // (2 * DIM)  # of a shard that ends with a page
joins = pytest.mark.skipif(sys.platform != "linux", reason="shards are joined on Linux alone")


@contextmanager
def shelf(
    rows: F32, order: I64, shard_rows: int = PAGE_ROWS, *, raw: bool = False, like: I64 | None = None
) -> Iterator[tuple[ListBackend, FaissBackend, I64, EmbeddingStore]]:
    """Lists and hashes of rows that lie in this order, with ids in the order of rows, depths that cover all.

    like: the row whose place in the store each takes, when it is equal to that one; its own.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), EmbeddingStore(Path(name) / "store", DIM, shard_rows, raw=raw)
        shards, places = store.append(rows[order])
        back = np.argsort(order)[like if like is not None else np.arange(len(rows))]
        ids, lie = np.arange(len(rows)) * 2 + 5, StoredRows(store, shards[back], places[back])
        write_rows(folder, "lists", ids, LISTED.quantize(rows), lie)
        hashes = SignHash.fit(ROWS, 64)
        write_rows(folder, "hashes", ids, hashes.quantize(rows), lie)
        lists = ListBackend.load(folder, "lists", LISTED, store, Depths(12, 10**6, 0.0))
        yield lists, FaissBackend.load(folder, "hashes", 64, store), ids, store


@joins
@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 3 * PAGE_ROWS), mixed=st.booleans(), gone=st.sampled_from((0.0, 0.4, 1.0)),
    share=st.sampled_from((0.02, 0.5, 1.0)), k=st.integers(1, 40), shared=st.booleans(),
)  # fmt: skip
def test_search_and_scan_in_place_equal_brute_force(
    count: int, mixed: bool, gone: float, share: float, k: int, shared: bool
) -> None:
    rng = np.random.default_rng(count)
    own = (rng.random(count) >= 0.05) | (not shared) | (count <= 40)
    like = np.where(own, np.arange(count), rng.choice(np.flatnonzero(own), count))  # equal files share a row
    rows = ROWS[rng.integers(0, len(ROWS), count)][like]  # some of them twice: equal scores
    order = rng.permutation(count) if mixed else np.arange(count)
    with shelf(rows, order, like=like) as (lists, hashes, ids, _):
        assert lists.in_place and hashes.in_place and lists.caps.whole
        dead, allowed = rng.random(count) < gone, rng.random(count) < share
        for backend in (lists, hashes):
            assert backend.delete(ids[dead]) == dead.sum()
        for where, kept in ((None, ~dead), (Filter(ids[allowed]), ~dead & allowed)):
            truth, expected = reference(ids[kept], rows[kept], QUERIES[:3], k)
            found = [backend.exact(QUERIES[:3], k, where) for backend in (lists, hashes)]
            found.append(lists.search(QUERIES[:3], max(k, count), k, where))
            for best, scores in found:
                np.testing.assert_allclose(scores[:, : truth.shape[1]], expected, atol=1e-5)
                assert (best[:, truth.shape[1] :] == -1).all() and (scores[:, 1:] <= scores[:, :-1]).all()
                assert all(set(row[row >= 0]) <= set(ids[kept]) for row in best)


@joins
def test_equal_vectors_come_by_id_however_many_are_asked_for() -> None:
    rows = ROWS[np.repeat(np.arange(9), 30)]
    with shelf(rows, np.random.default_rng(0).permutation(len(rows))) as (lists, _, ids, _):
        whole = lists.exact(QUERIES[:2], len(ids))[0]
        for k in (1, 7, 29, 31, 100):
            np.testing.assert_array_equal(lists.exact(QUERIES[:2], k)[0], whole[:, :k])
            np.testing.assert_array_equal(lists.search(QUERIES[:2], len(ids), k)[0], whole[:, :k])


@pytest.mark.parametrize(
    ("shard_rows", "raw", "mapped"), [(10**4, False, True), (10**4, True, False), (PAGE_ROWS + 1, False, False)]
)
def test_where_rows_cannot_be_read_in_place_both_stages_answer_alike(shard_rows: int, raw: bool, mapped: bool) -> None:
    with shelf(ROWS, np.arange(len(ROWS)), shard_rows, raw=raw) as (lists, hashes, _, store):
        assert (lists.caps.whole, lists.in_place, hashes.in_place) == (mapped,) * 3
        found = lists.rescore(QUERIES, lists.recall(QUERIES, len(ROWS))[0], 10)[0]
        np.testing.assert_array_equal(found, lists.exact(QUERIES, 10)[0])
        with pytest.raises(NotImplementedError, match="delta"):
            lists.upsert(np.array([1]), LISTED.quantize(ROWS[:1]), HeldRows(ROWS[:1]), {})


@joins
def test_one_call_finds_what_two_stages_find_at_the_same_depths() -> None:
    with shelf(ROWS, np.random.default_rng(1).permutation(len(ROWS))) as (lists, _, ids, _):
        lists.depths = Depths(3, 40, 0.0)
        lists.delete(ids[::7])
        for where in (None, Filter(ids[::3])):
            both = lists.rescore(QUERIES, lists.recall(QUERIES, 40, where)[0], 10)
            once = lists.search(QUERIES, 40, 10, where)
            np.testing.assert_array_equal(once[0], both[0])
            np.testing.assert_allclose(once[1], both[1], atol=1e-5)


@joins
def test_what_is_mapped_stays_when_the_store_grows_and_when_its_files_go() -> None:
    with shelf(ROWS, np.arange(len(ROWS))) as (lists, _, _, store):
        before = lists.search(QUERIES, 50, 10)[0]
        store.append(ROWS)
        np.testing.assert_array_equal(lists.search(QUERIES, 50, 10)[0], before)
        for shard in store.shards():  # compaction leaves the older generation to those who read it
            store.path(shard).unlink()
        np.testing.assert_array_equal(lists.search(QUERIES, 50, 10)[0], before)


@joins
def test_threads_search_the_same_lists() -> None:
    with shelf(ROWS, np.arange(len(ROWS))) as (lists, _, ids, _):
        where = Filter(ids[::2])
        expected = [lists.search(query[None], 50, 10, where)[0] for query in QUERIES]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda query: lists.search(query[None], 50, 10, where)[0], QUERIES))
        np.testing.assert_array_equal(found, expected)


@joins
def test_rows_on_the_disk_are_no_memory_of_an_index() -> None:
    with shelf(ROWS, np.arange(len(ROWS))) as (lists, hashes, _, _):
        assert resident_bytes(hashes) < len(ROWS) * (8 + 2) + 4_000  # a code, whether it lives
        assert resident_bytes(lists) < len(ROWS) * (LISTED.code_size - 2 + 8 + 1) + 20_000
