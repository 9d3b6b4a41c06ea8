"""The embedding store: what is appended is read back, what was never committed is cut off."""

import random
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ArtifactError
from engine.store import EmbeddingStore, HeldRows, StoredRows, row_bytes
from engine.types import F32

DIM = 8


def vectors(count: int, seed: int = 0) -> F32:
    x = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def rounded(x: F32) -> F32:
    return x.astype(np.float16).astype(np.float32)


def filled(folder: Path, rows: int, shard_rows: int = 4) -> EmbeddingStore:
    store = EmbeddingStore(folder, DIM, shard_rows)
    store.append(vectors(rows))
    return store


def read_all(store: EmbeddingStore, rows: int) -> F32:
    places = np.arange(rows)
    return store.read(places // store.shard_rows, places % store.shard_rows)


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.integers(0, 9), min_size=1, max_size=8), shard_rows=st.integers(1, 6), order=st.randoms())
def test_appended_rows_are_read_back_from_any_shard_in_any_order(
    batches: list[int], shard_rows: int, order: random.Random
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder) / "shards", DIM, shard_rows)
        written = [vectors(count, seed) for seed, count in enumerate(batches)]
        places = [store.append(batch) for batch in written]
        shards, rows = (np.concatenate(parts) for parts in zip(*places, strict=True))
        expected = rounded(np.concatenate(written))
        assert rows.max(initial=0) < shard_rows
        assert len({*zip(shards.tolist(), rows.tolist(), strict=True)}) == len(expected)
        chosen = np.array(order.choices(range(len(expected)), k=12) if len(expected) else [], np.int64)
        for reader in (store, EmbeddingStore(store.folder, DIM, shard_rows)):
            np.testing.assert_array_equal(reader.read(shards[chosen], rows[chosen]), expected[chosen])
        assert store.size() == len(expected) * row_bytes(DIM)


@settings(max_examples=40, deadline=None)
@given(committed=st.integers(0, 14), more=st.integers(0, 9), torn=st.integers(0, 2 * DIM - 1))
def test_recovery_cuts_what_was_not_committed_and_appending_goes_on(committed: int, more: int, torn: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = filled(Path(folder), committed)
        if more:
            store.append(vectors(more, seed=1))
        if torn:
            with (Path(folder) / "000009.f16").open("ab") as file:  # a shard of which not one whole row was written
                file.write(b"\0" * torn)
        store = EmbeddingStore(Path(folder), DIM, 4)
        store.recover(committed)
        assert store.size() == committed * row_bytes(DIM)
        shards, rows = store.append(vectors(3, seed=2))
        assert (shards * 4 + rows).tolist() == [committed, committed + 1, committed + 2]
        expected = rounded(np.concatenate([vectors(committed), vectors(3, seed=2)]))
        np.testing.assert_array_equal(read_all(store, committed + 3), expected)


def test_recovery_cuts_half_a_row(tmp_path: Path) -> None:
    store = filled(tmp_path, 3)
    with (tmp_path / "000000.f16").open("ab") as file:
        file.write(b"\0" * 5)
    store.recover(3)
    assert store.size() == 3 * row_bytes(DIM)


def test_recovering_nothing_from_an_empty_store_is_fine(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path / "nowhere", DIM).recover(0)


@pytest.mark.parametrize("lost", ["000000.f16", "000001.f16", "000002.f16"])
def test_a_shard_shorter_than_the_catalog_counts_is_refused(tmp_path: Path, lost: str) -> None:
    store = filled(tmp_path, 10)
    path = tmp_path / lost
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=f"{lost} holds .* rows, the catalog counts .*doctor --repair"):
        store.recover(10)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{lost} holds 0 rows"):
        store.recover(10)


def test_a_refused_recovery_keeps_what_is_there(tmp_path: Path) -> None:
    store = filled(tmp_path, 10)
    (tmp_path / "000002.f16").unlink()
    with pytest.raises(ArtifactError):
        store.recover(9)
    np.testing.assert_array_equal(read_all(store, 8), rounded(vectors(8)))


def test_a_row_that_is_not_there_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path, 3)
    for shard, row in ((0, 3), (1, 0)):
        with pytest.raises(ArtifactError, match=f"has no row {row}"):
            store.read(np.array([shard]), np.array([row]))


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    cut=st.integers(0, 28),
    bit=st.integers(0, 16 * DIM - 1),
)
def test_a_flipped_bit_of_any_row_is_told_and_no_other(batches: list[int], cut: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddingStore(Path(folder), DIM, 4)
        for seed, count in enumerate(batches):
            store.append(vectors(count, seed))
        store.recover(min(cut, sum(batches)))
        store.append(vectors(3, seed=9))
        places = np.arange(store.rows())
        assert not any(part.any() for part in store.altered(places // 4, places % 4))
        flipped = bit % len(places)
        data = bytearray(store.path(flipped // 4).read_bytes())
        data[flipped % 4 * 2 * DIM + bit // 8] ^= 1 << bit % 8
        store.path(flipped // 4).write_bytes(data)
        altered, unknown = EmbeddingStore(Path(folder), DIM, 4).altered(places // 4, places % 4)
        assert np.flatnonzero(altered).tolist() == [flipped] and not unknown.any()


def test_rows_of_an_earlier_release_have_no_checksums_until_they_are_sealed(tmp_path: Path) -> None:
    filled(tmp_path, 6)
    for path in tmp_path.glob("*.sums"):
        path.unlink()
    store = EmbeddingStore(tmp_path, DIM, 4)
    store.recover(6)
    store.append(vectors(3, seed=1))
    places = np.arange(9)
    altered, unknown = store.altered(places // 4, places % 4)
    assert not altered.any() and np.flatnonzero(unknown).tolist() == [0, 1, 2, 3, 4, 5]
    store.seal(np.array([0, 0, 1]), np.array([0, 3, 1]))
    altered, unknown = store.altered(places // 4, places % 4)
    assert not altered.any() and np.flatnonzero(unknown).tolist() == [1, 2, 4]
    store.recover(0)
    assert not list(tmp_path.iterdir())


def test_reading_no_rows_gives_none(tmp_path: Path) -> None:
    none = np.empty(0, np.int64)
    assert EmbeddingStore(tmp_path, DIM).read(none, none).shape == (0, DIM)


def test_a_reader_sees_rows_appended_after_it_began(tmp_path: Path) -> None:
    writer, reader = filled(tmp_path, 2, shard_rows=100), EmbeddingStore(tmp_path, DIM, 100)
    read_all(reader, 2)
    writer.append(vectors(3, seed=1))
    expected = rounded(np.concatenate([vectors(2), vectors(3, seed=1)]))
    np.testing.assert_array_equal(read_all(reader, 5), expected)


def test_two_readers_read_while_a_writer_appends(tmp_path: Path) -> None:
    expected, wrong = rounded(vectors(400)), list[str]()
    written, ended = [0], threading.Event()

    def read(seed: int) -> None:
        store, rng = EmbeddingStore(tmp_path, DIM, 64), np.random.default_rng(seed)
        while not ended.is_set():
            if known := written[0]:
                places = rng.integers(0, known, 16)
                if not np.array_equal(store.read(places // 64, places % 64), expected[places]):
                    wrong.append(f"rows {places} of {known}")

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    writer = EmbeddingStore(tmp_path, DIM, 64)
    for start in range(0, 400, 25):
        writer.append(vectors(400)[start : start + 25])
        written[0] = start + 25
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    np.testing.assert_array_equal(read_all(writer, 400), expected)


def test_stored_rows_read_when_indexed_and_extend(tmp_path: Path) -> None:
    store = filled(tmp_path, 10)
    places = np.arange(10)
    some = StoredRows(store, places[:6] // 4, places[:6] % 4)
    both = some.extended(StoredRows(store, places[6:] // 4, places[6:] % 4))
    expected = rounded(vectors(10))
    assert (len(some), len(both)) == (6, 10)
    np.testing.assert_array_equal(both[np.array([9, 0, 5, 5])], expected[[9, 0, 5, 5]])
    np.testing.assert_array_equal(both[slice(2, 7)], expected[2:7])
    assert both[np.empty(0, np.int64)].shape == (0, DIM)


def test_rows_in_memory_read_as_stored_ones_do(tmp_path: Path) -> None:
    store = filled(tmp_path, 10)
    stored = StoredRows(store, np.arange(10) // 4, np.arange(10) % 4)
    held = HeldRows.none(DIM).extended(HeldRows(vectors(10)[:6])).extended(HeldRows(vectors(10)[6:]))
    for positions in (np.array([9, 0, 5, 5]), slice(2, 7), np.empty(0, np.int64)):
        np.testing.assert_array_equal(held[positions], stored[positions])
    chosen = np.array([7, 1])
    np.testing.assert_array_equal(held.take(chosen)[slice(None)], stored.take(chosen)[slice(None)])
    assert (len(held), len(held.take(chosen)), len(stored.take(chosen))) == (10, 2, 2)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 14), lost=st.integers(0, 4), torn=st.integers(0, 4 * 2 * DIM))
def test_whole_rows_end_where_a_shard_is_missing_or_short(rows: int, lost: int, torn: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = filled(Path(folder), rows)
        assert store.whole_rows() == rows
        path = store.path(lost)
        if path.exists():
            left = path.read_bytes()[:torn]
            path.write_bytes(left)
            held, full = len(left) // (2 * DIM), min(4, rows - 4 * lost)
            assert store.whole_rows() == (rows if held == full else 4 * lost + held)
            path.unlink()
            assert store.whole_rows() == min(rows, 4 * lost)
