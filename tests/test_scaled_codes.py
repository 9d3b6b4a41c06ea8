"""Hash codes with factors, as FAISS's RaBitQ index scans them, and the rotations that hash codes are given."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codecs.hashing import ScaledHash, SignHash, drawn_rotation
from engine.config import CodecSettings
from engine.device_codes import unfit
from engine.filtering import Filter
from engine.index import write_rows
from engine.lists import Depths, ListBackend
from engine.search import Searcher
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import F32, I64, Modality, Query, Term
from indexer.care.accelerator import crossover
from indexer.codecs.fit import fit_codes
from tests.shelves import Shelf
from tests.test_listed_library import PICTURES, points, published, shelf
from tests.test_lists import ASKED, CODECS, COUNT, DIM, QUERIES, ROWS, reference

__all__ = ["shelf"]
Rotation = Literal["drawn", "itq", "trained"]
MANY = ScaledHash.fit(ROWS, drawn_rotation(DIM, 72), ASKED.expected())  # bits of no round number, in several blocks


def backend_of(codec: Any, rows: F32, ids: I64, candidates: int = 10**6) -> ListBackend:
    backend = ListBackend(codec, HeldRows.none(DIM), Depths(1, candidates, 0.0))
    backend.upsert(ids, codec.quantize(rows), HeldRows(rows), {})
    return backend


@pytest.mark.parametrize("codec", [MANY, CODECS["scaled hash"], CODECS["scaled hash, descended"]])
def test_scores_are_those_of_the_decoded_vectors(codec: Any) -> None:
    found, scores = backend_of(codec, ROWS, np.arange(COUNT)).recall(QUERIES[:5], 50)
    expected = QUERIES[:5] @ codec.reconstruct(codec.quantize(ROWS)).T
    np.testing.assert_allclose(scores, np.take_along_axis(expected, found, 1), atol=0.05)  # of queries in eight bits
    np.testing.assert_allclose(scores, -np.sort(-expected)[:, :50], atol=0.05)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 200), gone=st.sampled_from((0.0, 0.5, 1.0)), share=st.sampled_from((0.0, 0.3, 1.0)))
def test_search_equals_brute_force_when_depths_cover_all(count: int, gone: float, share: float) -> None:
    rng, rows = np.random.default_rng(count), ROWS[:count]
    ids = np.sort(rng.permutation(5000)[:count]).astype(np.int64)
    backend = backend_of(MANY, rows, ids)
    dead, allowed = rng.random(count) < gone, rng.random(count) < share
    assert backend.delete(ids[dead]) == dead.sum() and backend.delete(ids[dead]) == 0
    for where, kept in ((None, ~dead), (Filter(ids[allowed]), ~dead & allowed)):
        found, _ = backend.recall(QUERIES[:3], max(count, 1), where)
        assert all(sorted(row[row >= 0]) == ids[kept].tolist() for row in found)
        truth, expected = reference(ids[kept], rows[kept], QUERIES[:3], 10)
        np.testing.assert_allclose(backend.rescore(QUERIES[:3], found, 10)[1][:, : truth.shape[1]], expected, atol=1e-5)
    backend.upsert(ids, MANY.quantize(rows), HeldRows(rows), {})
    assert len(backend) == count
    found, _ = backend.recall(QUERIES[:3], 2 * count + 1)
    assert all(sorted(row[row >= 0]) == ids.tolist() for row in found)


def test_what_was_written_is_searched_from_the_disk_as_it_was_from_memory(tmp_path: Path) -> None:
    store, ids = EmbeddingStore(tmp_path / "store", DIM), np.arange(COUNT) * 3
    rows = StoredRows(store, *store.append(ROWS))
    write_rows(tmp_path, "image", ids, MANY.quantize(ROWS), rows)
    loaded = ListBackend.load(tmp_path, "image", MANY, store, Depths(1, 50, 0.0))
    held = backend_of(MANY, ROWS, ids, 50)
    for m in (50, COUNT):
        expected = held.recall(QUERIES[:9], m)
        for got, wanted in zip(loaded.recall(QUERIES[:9], m), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        first = loaded.search(QUERIES[:9], m, 10)[0]
        np.testing.assert_array_equal(first, held.rescore(QUERIES[:9], expected[0], 10)[0])


def test_searches_at_once_find_what_each_finds_alone() -> None:
    backend = backend_of(MANY, ROWS, np.arange(COUNT), 50)
    alone = [backend.recall(query[None], 50)[0] for query in QUERIES]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda query: backend.recall(query[None], 50)[0], [*QUERIES] * 5))
    np.testing.assert_array_equal(beside, alone * 5)


def test_codes_of_another_size_are_refused() -> None:
    backend = ListBackend(MANY, HeldRows.none(DIM), Depths(1, 50, 0.0))
    with pytest.raises(ValueError, match="bytes"):
        backend.upsert(np.arange(4), CODECS["scaled hash"].quantize(ROWS[:4]), HeldRows(ROWS[:4]), {})


def test_no_gpu_takes_them_and_the_doctor_says_so() -> None:
    said = unfit(MANY)
    assert said is not None and "RaBitQ" in said
    rows = crossover(torch.device("cpu"), CodecSettings("rabitq", 64), counts=(2500,), dim=DIM)
    assert rows == [{"items": 2500, "codes": "scaled-hash codes", "unfit": said}]


@pytest.mark.parametrize("kind", ["hashing", "rabitq"])
def test_a_rotation_is_the_one_that_is_asked_for(
    kind: Literal["hashing", "rabitq"], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rotated(rotation: Rotation) -> F32:
        chosen = CodecSettings(kind, 64, rotation=rotation)
        hashes, scanned = fit_codes(chosen, ROWS.__getitem__, COUNT, QUERIES[:60])
        codec = hashes if scanned is None else scanned
        assert isinstance(codec, SignHash | ScaledHash)
        return codec.rotation

    drawn = drawn_rotation(DIM, 64)
    np.testing.assert_array_equal(rotated("itq"), drawn)  # a few hundred items are no sample to train on
    monkeypatch.setattr("indexer.codecs.fit.TRAINED_FROM", COUNT)
    np.testing.assert_array_equal(rotated("drawn"), drawn)
    itq, trained = rotated("itq"), rotated("trained")
    for one in (itq, trained):
        np.testing.assert_allclose(one[:, :DIM].T @ one[:, :DIM], np.eye(DIM), atol=1e-4)
    assert not np.allclose(itq, drawn) and not np.allclose(itq, trained)


@pytest.mark.parametrize("rotation", ["itq", "trained"])
def test_a_library_of_such_codes_is_changed_live(
    shelf: Shelf, rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.codecs.fit.TRAINED_FROM", PICTURES)
    shelf.config = replace(shelf.config, codec=CodecSettings("rabitq", 64, PICTURES + 1, rotation=rotation))
    base = published(shelf).indexes[Modality.IMAGE].base
    assert isinstance(base, ListBackend) and isinstance(base.codec, ScaledHash)
    searcher, query = Searcher(shelf.config, shelf.catalog), Query((Term(item=7),), limit=3)
    first, second, _ = (hit.id for hit in searcher.search(query).hits)
    assert first == 7
    shelf.change([second], removed_at=1.0e10)
    assert searcher.refresh() and second not in [hit.id for hit in searcher.search(query).hits]
    shelf.change([second], removed_at=None)
    shelf.embed([second], vectors=points(PICTURES, 1)[[second - 1]].tolist())
    assert searcher.refresh() and second in [hit.id for hit in searcher.search(query).hits]
