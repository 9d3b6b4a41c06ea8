"""The backend against brute force in NumPy: any sizes, filters, deletions, replaced rows."""

import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.filtering import Filter
from engine.index import FaissBackend, VectorBackend, hamming_score, merge
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import F32, I32, I64, U8

TOLERANCE = 2e-3  # of float16 rows


@dataclass
class Reference:
    """Brute force over the living rows."""

    codes: dict[int, U8]
    vectors: dict[int, F32]

    def ids(self, where: Filter | None) -> list[int]:
        return sorted(set(self.codes) & set(self.codes if where is None else where.ids.tolist()))

    def distances(self, q: U8, where: Filter | None) -> dict[int, int]:
        return {i: int(np.bitwise_count(self.codes[i] ^ q).sum()) for i in self.ids(where)}

    def scores(self, q: F32, where: Filter | None) -> dict[int, float]:
        return {i: float(self.vectors[i].astype(np.float64) @ q) for i in self.ids(where)}


def drawn(rng: np.random.Generator, count: int, dim: int, bits: int) -> tuple[U8, F32]:
    """Codes of few patterns, so that distances tie, and unit vectors."""
    codes = rng.integers(0, 4, (count, bits // 8)).astype(np.uint8)
    x = rng.standard_normal((count, dim))
    return codes, np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def no_rows(store: EmbeddingStore) -> StoredRows:
    return StoredRows.none(store)


def put(backend: FaissBackend, store: EmbeddingStore, ids: I64, codes: U8, vectors: F32) -> None:
    backend.upsert(ids, codes, StoredRows(store, *store.append(vectors)), {})


@dataclass
class Case:
    """A backend that was added to, deleted from and replaced in, with what it should hold."""

    rng: np.random.Generator
    store: EmbeddingStore
    backend: FaissBackend
    reference: Reference
    dim: int
    bits: int

    @classmethod
    def build(cls, folder: Path, seed: int, count: int, dim: int, size: int) -> "Case":
        rng, bits = np.random.default_rng(seed), size * 8
        store = EmbeddingStore(folder, dim, shard_rows=16)
        case = cls(rng, store, FaissBackend(bits, no_rows(store)), Reference({}, {}), dim, bits)
        case.add(rng.permutation(10 * count + 1)[:count] + 1)
        return case

    def add(self, ids: I64) -> None:
        codes, vectors = drawn(self.rng, len(ids), self.dim, self.bits)
        put(self.backend, self.store, ids, codes, vectors)
        self.reference.codes |= dict(zip(ids.tolist(), codes, strict=True))
        self.reference.vectors |= dict(zip(ids.tolist(), vectors.astype(np.float16).astype(np.float32), strict=True))

    def delete(self, ids: I64) -> int:
        for i in ids.tolist():
            self.reference.codes.pop(i, None)
        return self.backend.delete(ids)

    def some(self, share: float) -> I64:
        """Some of the ids that are there, and a few that are not."""
        there = np.array(self.reference.ids(None), np.int64)
        chosen = there[self.rng.random(len(there)) < share]
        return np.asarray(self.rng.permutation(np.union1d(chosen, [10**9, 10**9 + 1])), np.int64)

    def check(self, where: Filter | None, m: int) -> None:
        self.check_hamming(where, m)
        self.check_exact(where, m)
        self.check_rescore(m)

    def check_hamming(self, where: Filter | None, m: int) -> None:
        codes, _ = drawn(self.rng, 3, self.dim, self.bits)
        ids, distances = self.backend.hamming(codes, m, where)
        assert ids.shape == distances.shape == (3, m)
        for query, found, at in zip(codes, ids.tolist(), distances.tolist(), strict=True):
            truth = self.reference.distances(query, where)
            count = min(m, len(truth))
            assert Counter(at[:count]) == Counter(sorted(truth.values())[:count])
            assert [truth[i] for i in found[:count]] == at[:count]
            assert len(set(found[:count])) == count
            pairs = list(zip(at[:count], found[:count], strict=True))
            assert pairs == sorted(pairs)
            assert set(found[count:]) <= {-1} and set(at[count:]) <= {self.bits + 1}

    def check_exact(self, where: Filter | None, k: int) -> None:
        _, queries = drawn(self.rng, 3, self.dim, self.bits)
        ids, scores = self.backend.exact(queries, k, where)
        assert ids.shape == scores.shape == (3, k)
        for query, found, at in zip(queries, ids.tolist(), scores.tolist(), strict=True):
            self._check_scores(found, at, self.reference.scores(query, where), k)

    def check_rescore(self, k: int) -> None:
        _, queries = drawn(self.rng, 3, self.dim, self.bits)
        candidates = self.some(0.7)
        padded = np.append(candidates, [-1, -1])
        ids, scores = self.backend.rescore(queries, np.tile(padded, (3, 1)), k)
        assert ids.shape == scores.shape == (3, k)
        for query, found, at in zip(queries, ids.tolist(), scores.tolist(), strict=True):
            self._check_scores(found, at, self.reference.scores(query, Filter(candidates)), k)

    @staticmethod
    def _check_scores(found: list[int], at: list[float], truth: dict[int, float], k: int) -> None:
        count = min(k, len(truth))
        assert at[:count] == sorted(at[:count], reverse=True)
        np.testing.assert_allclose(at[:count], sorted(truth.values(), reverse=True)[:count], atol=TOLERANCE)
        np.testing.assert_allclose(at[:count], [truth[i] for i in found[:count]], atol=TOLERANCE)
        assert len(set(found[:count])) == count
        assert set(found[count:]) <= {-1} and set(at[count:]) <= {-np.inf}


@contextmanager
def case_of(seed: int, count: int, dim: int, size: int) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        yield Case.build(Path(folder), seed, count, dim, size)


sizes = {
    "seed": st.integers(0, 10**6),
    "count": st.integers(0, 60),
    "dim": st.integers(1, 12),
    "size": st.integers(1, 9),
}


@settings(max_examples=40, deadline=None)
@given(
    **sizes,
    m=st.integers(1, 70),
    share=st.sampled_from((0.0, 0.05, 0.3, 0.9, 1.0)),
    gone=st.sampled_from((0.0, 0.4, 1.0)),
)
def test_the_backend_equals_brute_force(
    seed: int, count: int, dim: int, size: int, m: int, share: float, gone: float
) -> None:
    with case_of(seed, count, dim, size) as case:
        case.check(None, m)
        case.delete(case.some(gone))
        case.check(None, m)
        case.check(Filter(case.some(share)), m)
        case.check(Filter(np.empty(0, np.int64)), m)


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_copies_and_saved_files_hold_the_living_rows(seed: int, count: int, dim: int, size: int) -> None:
    with case_of(seed, count, dim, size) as case, tempfile.TemporaryDirectory() as folder:
        case.delete(case.some(0.4))
        case.backend.save(Path(folder), "image")
        loaded = FaissBackend.load(Path(folder), "image", case.bits, case.store)
        original = case.backend
        for backend in (loaded, original.copy()):
            assert sorted(backend.ids.tolist()) == case.reference.ids(None)
            assert len(backend) == len(case.reference.codes)
            case.backend = backend
            case.check(Filter(case.some(0.5)), 20)


@settings(max_examples=25, deadline=None)
@given(**sizes)
def test_removing_and_adding_again_leaves_one_row_of_each_id(seed: int, count: int, dim: int, size: int) -> None:
    with case_of(seed, count, dim, size) as case:
        gone = case.some(0.5)
        known = len(set(gone.tolist()) & set(case.reference.codes))
        assert case.delete(gone) == known
        assert case.delete(gone) == 0
        case.check(None, 70)
        for _ in range(2):
            case.add(gone)  # new vectors under old ids, the second time over living ones
            assert len(case.backend) == len(case.reference.codes)
            case.check(None, 70)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.build(tmp_path, seed=1, count=30, dim=8, size=8)


def test_a_copy_is_independent(case: Case) -> None:
    copy = case.backend.copy()
    copy.delete(np.array(case.reference.ids(None)))
    assert (len(copy), len(case.backend)) == (0, 30)
    case.check(None, 30)


def test_an_empty_backend_finds_nothing(tmp_path: Path) -> None:
    backend: VectorBackend = FaissBackend(64, no_rows(EmbeddingStore(tmp_path, 4)))
    ids, distances = backend.hamming(np.zeros((2, 8), np.uint8), 3)
    assert ids.tolist() == [[-1] * 3] * 2 and distances.min() == 65
    for found, scores in (
        backend.exact(np.ones((2, 4), np.float32), 3),
        backend.rescore(np.ones((2, 4), np.float32), np.array([[1, 2], [-1, 3]]), 3),
    ):
        assert found.tolist() == [[-1] * 3] * 2 and np.isneginf(scores).all()
    assert backend.delete(np.array([1, 2])) == 0


def test_equal_scores_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path, 4)
    backend, ids = FaissBackend(64, no_rows(store)), np.array([9, 2, 7, 4])
    put(backend, store, ids, np.zeros((4, 8), np.uint8), np.array([[1, 0, 0, 0]] * 4, np.float32))
    query = np.array([[1, 0, 0, 0]], np.float32)
    for found, _ in (
        backend.hamming(np.zeros((1, 8), np.uint8), 4),
        backend.exact(query, 4),
        backend.rescore(query, ids[None], 4),
    ):
        assert found.tolist() == [[2, 4, 7, 9]]


def test_vectors_in_memory_are_found_as_stored_ones_are(tmp_path: Path) -> None:
    codes, vectors = drawn(np.random.default_rng(4), 40, 8, 64)
    store, ids = EmbeddingStore(tmp_path, 8), np.arange(40) * 3
    stored, held = FaissBackend(64, no_rows(store)), FaissBackend(64, HeldRows.none(8))
    put(stored, store, ids, codes, vectors)
    held.upsert(ids, codes, HeldRows(vectors), {})
    held.upsert(ids[:3], codes[:3], HeldRows(vectors[:3]), {})
    assert [backend.delete(ids[30:]) for backend in (stored, held)] == [10, 10]
    for backend in (held, held.copy()):
        (ids_of_held, scores_of_held), (found, scores) = (one.exact(vectors[:5], 30) for one in (backend, stored))
        np.testing.assert_array_equal(ids_of_held, found)
        np.testing.assert_allclose(scores_of_held, scores, atol=1e-6)


def test_an_exact_scan_of_several_blocks_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case.build(tmp_path, seed=3, count=50, dim=6, size=8)
    monkeypatch.setattr("engine.index._EXACT_BLOCK", 7)
    case.check(None, 20)
    case.check(Filter(case.some(0.5)), 20)


def test_a_distance_becomes_a_score_where_higher_is_nearer() -> None:
    distances: I32 = np.array([0, 64, 128, 256], np.int32)
    assert hamming_score(distances, 256).tolist() == [1.0, 0.75, 0.5, 0.0]


def test_merging_keeps_the_best_of_both_and_pads_last() -> None:
    a = np.array([[5, 3, -1]]), np.array([[0.9, 0.5, -np.inf]], np.float32)
    b = np.array([[4, 1, -1]]), np.array([[0.7, 0.5, -np.inf]], np.float32)
    ids, scores = merge(a, b, 5)
    assert ids.tolist() == [[5, 4, 1, 3, -1]]
    np.testing.assert_allclose(scores, [[0.9, 0.7, 0.5, 0.5, -np.inf]])


def test_two_threads_search_while_another_deletes(tmp_path: Path) -> None:
    case = Case.build(tmp_path, seed=5, count=400, dim=8, size=8)
    everything = case.reference.ids(None)
    kept, gone = everything[::2], everything[1::2]
    codes, vectors = drawn(np.random.default_rng(9), 2, 8, 64)
    ended, wrong, searches = threading.Event(), list[str](), Counter[str]()

    def search(name: str) -> None:
        while not ended.is_set() or not searches[name]:
            found = [case.backend.hamming(codes, 400)[0], case.backend.exact(vectors, 400)[0]]
            found.append(case.backend.rescore(vectors, np.tile(everything, (2, 1)), 400)[0])
            searches[name] += 1
            for ids in found:
                for row in ids:
                    there = row[row >= 0].tolist()
                    if not set(kept) <= set(there) or len(set(there)) != len(there):
                        wrong.append(f"{name}: {len(there)} found")

    threads = [threading.Thread(target=search, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for i in gone:
        case.backend.delete(np.array([i]))
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert set(case.backend.hamming(codes, 400)[0].ravel().tolist()) == {*kept, -1}
