"""Product and additive codes on a device: the same candidates as those of the decoded vectors, whatever was removed.

Where there is no GPU, the index that would be put there answers on the processor: only the last step is not tested.
"""

import logging
from dataclasses import replace
from typing import Any, Literal

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codecs import Scanned
from engine.codecs.hashing import SignHash
from engine.codecs.pq import ProductCode, paired
from engine.config import CodecSettings
from engine.device_codes import DEEPEST, unfit
from engine.errors import ConfigError
from engine.filtering import Filter
from engine.gpu import DeviceLists, mirror_bytes, placed, query_ms
from engine.index import FaissBackend
from engine.lists import Depths, ListBackend
from engine.search import Searcher
from engine.store import HeldRows
from engine.types import F32, I64, Modality, Query, Term
from engine.versions import LiveIndex
from indexer.codecs.drawn import drawn_codec
from tests.shelves import Shelf
from tests.test_gpu import cuda, no_gpu
from tests.test_listed_library import published, shelf
from tests.test_lists import CODECS, DIM, LISTED, QUERIES, ROWS, reference

__all__ = ["shelf"]
TOLERANCE = 1e-4
SOME = ("lists", "product", "product of uneven parts", "additive")
devices = pytest.mark.parametrize("device", ["cpu", cuda])


def master_of(codec: Scanned, count: int, probes: int = 12) -> ListBackend:
    backend = ListBackend(codec, HeldRows.none(DIM), Depths(probes, 10**6, 0.0))
    backend.upsert(np.arange(count) * 3 + 1, codec.quantize(ROWS[:count]), HeldRows(ROWS[:count]), {})
    return backend


def scanned(name: str) -> Scanned:
    codec: Any = CODECS[name]
    return codec  # type: ignore[no-any-return]


def expected(codec: Scanned, kept: I64, q: F32, probes: int) -> list[dict[int, float]]:
    """Of each query, the scores of the decoded vectors among these rows that lie in the lists nearest to it, by id."""
    codes = codec.quantize(ROWS)[kept]
    scores, named = q @ codec.reconstruct(codes).T, codec.split(codes)[0]
    near = (
        np.argsort(-(codec.asked(q) @ codec.lists.T), axis=1)[:, :probes] if len(codec.lists) else np.zeros((len(q), 1))
    )
    return [
        {int(kept[i]) * 3 + 1: float(row[i]) for i in np.flatnonzero(np.isin(named, lists))}
        for row, lists in zip(scores, near, strict=True)
    ]


@settings(max_examples=30, deadline=None)
@given(parts=st.integers(1, 9), width=st.integers(1, 5), seed=st.integers(0, 10**6))
def test_pairs_of_parts_decode_the_same_bytes_to_the_same_vectors(parts: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    four: Any = faiss.ProductQuantizer(2 * parts * width, 2 * parts, 4)
    faiss.copy_array_to_vector(rng.standard_normal(2 * parts * 16 * width).astype(np.float32), four.centroids)
    eight = paired(four)
    assert (eight.M, eight.nbits, eight.code_size) == (parts, 8, four.code_size) and paired(eight) is eight
    codes = rng.integers(0, 256, (20, parts), np.uint8)
    np.testing.assert_array_equal(eight.decode(codes), four.decode(codes))


@devices
@pytest.mark.parametrize("name", SOME)
@settings(max_examples=12, deadline=None)
@given(
    count=st.integers(1, 300), m=st.integers(1, 320), gone=st.sampled_from((0.0, 0.4, 1.0)), probes=st.integers(1, 12)
)
def test_candidates_are_those_of_the_decoded_vectors(
    device: str, name: str, count: int, m: int, gone: float, probes: int
) -> None:
    codec, rng = scanned(name), np.random.default_rng(count)
    master = master_of(codec, count, probes)
    mirror = DeviceLists(master, torch.device(device))
    dead = rng.random(count) < gone
    assert mirror.delete(np.flatnonzero(dead) * 3 + 1) == dead.sum() == count - len(mirror)
    found, scores = mirror.recall(QUERIES[:3], m)
    assert found.shape == scores.shape == (3, m) and (scores[:, 1:] <= scores[:, :-1]).all()
    kept, looked_into = np.flatnonzero(~dead), master.reach(QUERIES[:3], m)
    for ids, at, truth in zip(found, scores, expected(codec, kept, QUERIES[:3], looked_into), strict=True):
        some = min(m, len(truth))
        assert (ids[some:] == -1).all() and (at[some:] == -np.inf).all() and len(set(ids[:some])) == some
        np.testing.assert_allclose(at[:some], sorted(truth.values(), reverse=True)[:some], atol=TOLERANCE)
        np.testing.assert_allclose(at[:some], [truth[i] for i in ids[:some].tolist()], atol=TOLERANCE)


@devices
@pytest.mark.parametrize("name", SOME)
def test_a_device_hands_on_what_the_processor_does_and_refines_it_alike(device: str, name: str) -> None:
    master = master_of(scanned(name), 900, probes=5)
    mirror = DeviceLists(master, torch.device(device))
    for m in (20, 200, 900):
        (there, at), (here, scores) = mirror.recall(QUERIES, m), master.recall(QUERIES, m)
        np.testing.assert_allclose(at, scores, atol=0.05)  # tables of a fast scan hold eight bits
        assert np.mean([np.isin(a, b).mean() for a, b in zip(there, here, strict=True)]) > 0.9
        best, exact = mirror.rescore(QUERIES, here, 10)
        np.testing.assert_array_equal(best, master.rescore(QUERIES, here, 10)[0])
        np.testing.assert_allclose(exact, master.rescore(QUERIES, here, 10)[1], atol=TOLERANCE)
    truth, _ = reference(master.row_ids, ROWS, QUERIES, 10)
    np.testing.assert_array_equal(mirror.exact(QUERIES, 10)[0], truth)


@devices
def test_filters_and_what_is_too_deep_for_a_device_stay_with_the_master(device: str) -> None:
    master = master_of(LISTED, 900)
    mirror = DeviceLists(master, torch.device(device))
    for m, where in ((50, Filter(master.row_ids[::3])), (DEEPEST + 1, None)):
        for there, here in zip(mirror.recall(QUERIES, m, where), master.recall(QUERIES, m, where), strict=True):
            np.testing.assert_array_equal(there, here)
    mirror.delete(master.row_ids)
    assert (mirror.recall(QUERIES, 5)[0] == -1).all() and not len(mirror)


@devices
def test_many_deletions_do_not_crowd_out_the_living(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.gpu.DEEPEST", 300)
    master = master_of(LISTED, 900)
    mirror = DeviceLists(master, torch.device(device))
    mirror.delete(master.row_ids[::2])
    ids, _ = mirror.recall(QUERIES, 250)
    assert (ids >= 0).all() and not np.isin(ids, master.row_ids[::2]).any()
    assert len(mirror._codes.positions) == 450


@pytest.mark.parametrize(
    ("parts", "words", "reason"),
    [
        (8, 16, None), (64, 16, None), (128, 16, None), (64, 256, None),
        (7, 16, "no whole bytes"), (14, 16, "are of 7"), (65, 256, "are of 65"),
    ],
)  # fmt: skip
def test_the_shapes_that_a_gpu_takes(parts: int, words: int, reason: str | None) -> None:
    def zeros(*shape: int) -> F32:
        return np.zeros(shape, np.float32)

    codec = ProductCode(
        zeros(4), zeros(4, 2 * parts), zeros(parts, words, 2), zeros(0, 2 * parts), zeros(4, 4), zeros(1)
    )
    said = unfit(codec)
    assert said is None if reason is None else said is not None and reason in said


@no_gpu
def test_codes_that_fit_no_gpu_or_its_memory_are_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a machine whose GPU is real to all who ask, and to none who use it."""
    log = logging.Logger("engine.gpu")  # what tests before have set up is not its concern
    log.addHandler(caplog.handler)
    monkeypatch.setattr("engine.gpu.log", log)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("faiss.get_num_gpus", lambda: 1)
    master = master_of(LISTED, 900)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (mirror_bytes(master), 0))
    with pytest.raises(ConfigError, match="does not fit into the GPU's memory: set search.device"):
        placed(master, "cuda")
    assert placed(master, "auto") is master and not caplog.records
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2 * mirror_bytes(master), 0))
    with pytest.raises(ConfigError, match="cannot be put on the GPU .*: free it, or set search.device"):
        placed(master, "cuda")
    assert placed(master, "auto") is master
    assert "the processor searches: the index cannot be put on the GPU" in caplog.text
    monkeypatch.setattr("engine.device_codes._SIZES", frozenset({8}))
    caplog.clear()
    assert placed(master, "auto") is master and not caplog.records
    assert placed(master, "cuda") is master and "codes of 8 bytes on a GPU, and these are of 4" in caplog.text


def test_a_mirror_is_as_large_as_its_rows_its_codes_and_what_tells_them_apart() -> None:
    small, large = (mirror_bytes(master_of(LISTED, count)) for count in (100, 300))
    assert large - small == 200 * (2 * DIM + LISTED.code_size + 32)


@devices
def test_an_index_in_lists_is_searched_on_a_device_with_its_delta(device: str) -> None:
    hashes, master = SignHash.fit(ROWS, 64), master_of(LISTED, 900)
    master.depths = Depths(6, 60, 0.9)
    index = LiveIndex(hashes, master, FaissBackend(64, HeldRows.none(DIM)), master.depths)
    there = replace(index, base=DeviceLists(master, torch.device(device)))
    assert there.explained(100) == index.explained(100) and not there.whole
    there.delete(master.ids[::9])
    there = there.with_rows(np.array([10**6, 10**6 + 1]), HeldRows(QUERIES[:2]))
    found, truth = there.search(QUERIES, len(there), 10, None), there.exact(QUERIES, 10, None)
    np.testing.assert_array_equal(found[0], truth[0])
    np.testing.assert_allclose(found[1], truth[1], atol=TOLERANCE)
    assert found[0][0, 0] == 10**6
    shallow = there.search(QUERIES, 60, 10, None)[0]
    assert np.mean([np.isin(a, b).mean() for a, b in zip(truth[0], shallow, strict=True)]) > 0.8
    assert query_ms(there.base, 2) > 0 and query_ms(master, 2) > 0


@pytest.mark.parametrize("device", [cuda])
def test_a_searcher_serves_lists_from_a_gpu(shelf: Shelf, device: Literal["cuda", "cpu"]) -> None:
    published(shelf)
    searcher = Searcher(replace(shelf.config, search=replace(shelf.config.search, device=device)), shelf.catalog)
    assert isinstance(searcher.version.indexes[Modality.IMAGE].base, DeviceLists) == (device == "cuda")
    for item in (1, 7, 300):
        found = searcher.search(Query((Term(item=item),), limit=3))
        assert found.hits[0].id == item and {"recall", "refine"} <= set(found.took_ms)


@pytest.mark.parametrize(("device", "tolerance"), [("cpu", 1e-3), pytest.param(*cuda.values, 0.1, marks=cuda.marks)])
def test_codes_of_64_bytes_are_compared_by_coarser_tables_where_a_gpu_has_room_for_no_others(
    device: str, tolerance: float
) -> None:
    rows = HeldRows(np.zeros((300, 128), np.float32))
    codec: Any = drawn_codec(CodecSettings(lists_from=1, parts=128), len(rows), 128)
    master = ListBackend(codec, HeldRows.none(128), Depths(32, 300, 0.0))
    rng = np.random.default_rng(0)
    codes, queries = rng.integers(0, 256, (300, 66), np.uint8), rng.standard_normal((3, 128), np.float32)
    master.upsert(np.arange(300), codes, rows, {})
    found, scores = DeviceLists(master, torch.device(device)).recall(queries, 100)
    truth = queries @ codec.reconstruct(codes).T
    np.testing.assert_allclose(scores, np.take_along_axis(truth, found, 1), atol=tolerance)
    np.testing.assert_allclose(scores, -np.sort(-truth, axis=1)[:, :100], atol=tolerance)
