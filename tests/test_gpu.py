"""The index on a device answers as its master does. What torch does is tested anywhere, the rest where a GPU is."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import CodecSettings
from engine.errors import ConfigError
from engine.filtering import Filter
from engine.gpu import DeviceHashes, placed, query_ms
from engine.index import FaissBackend
from engine.search import Searcher
from engine.store import EmbeddingStore
from engine.types import Modality
from engine.versions import Version
from indexer.care.accelerator import _said, crossover
from indexer.care.findings import Level
from tests.served import Served
from tests.test_index import Case, case_of, no_rows, sizes

GPU = torch.cuda.is_available() and faiss.get_num_gpus() > 0
no_gpu = pytest.mark.skipif(GPU, reason="there is a GPU here")
cuda = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not GPU, reason="no GPU here")])


@pytest.mark.parametrize("device", ["cpu", cuda])
@settings(max_examples=30, deadline=None)
@given(**sizes, m=st.integers(1, 70), share=st.sampled_from((0.0, 0.3, 1.0)), gone=st.sampled_from((0.0, 0.4, 1.0)))
def test_a_mirror_equals_brute_force(
    device: str, seed: int, count: int, dim: int, size: int, m: int, share: float, gone: float
) -> None:
    with case_of(seed, count, dim, size) as case:
        case.add(case.some(0.3))  # replaced rows: the older ones are dead
        mirror: Any = DeviceHashes(case.backend, torch.device(device))
        case.backend = mirror
        case.check(None, m)
        assert case.delete(case.some(gone)) >= 0 and len(mirror) == len(case.reference.codes)
        case.check(None, m)
        case.check(Filter(case.some(share)), m)
        case.check(Filter(np.empty(0, np.int64)), m)


@pytest.mark.parametrize("device", ["cpu", cuda])
def test_batches_of_many_candidates_go_in_parts(tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.gpu._GATHERED", 40)
    monkeypatch.setattr("engine.gpu._BLOCK", 7)
    case = Case.build(tmp_path, 5, 60, 8, 8)
    mirror: Any = DeviceHashes(case.backend, torch.device(device))
    case.backend = mirror
    case.check(None, 30)


@pytest.mark.parametrize("device", [cuda])
def test_many_deletions_do_not_crowd_out_the_living(tmp_path: Path, device: str) -> None:
    case = Case.build(tmp_path, 6, 3000, 8, 8)
    mirror: Any = DeviceHashes(case.backend, torch.device(device))
    case.backend = mirror
    case.delete(np.array(case.reference.ids(None)[:1500]))
    case.check(None, 1000)
    case.check(None, 2048)
    case.check(None, 2500)  # deeper than a GPU selects


@pytest.mark.parametrize("device", [cuda])
def test_a_searcher_serves_from_a_gpu(tmp_path: Path, device: Literal["cuda"]) -> None:
    library = Served(tmp_path)
    library.add(200)
    library.publish()
    config = replace(library.config, search=replace(library.config.search, device=device))
    searcher = Searcher(config, library.catalog)
    assert isinstance(searcher.version.indexes[Modality.IMAGE].base, DeviceHashes)
    for _ in range(3):
        library.check(searcher)
        library.add(5)
        library.remove(sorted(library.vectors)[:5])
    library.close()


def test_a_mirror_takes_no_rows(tmp_path: Path) -> None:
    mirror = DeviceHashes(Case.build(tmp_path, 1, 3, 4, 8).backend, torch.device("cpu"))
    with pytest.raises(NotImplementedError, match="add to a delta"):
        mirror.upsert(np.array([1]), np.zeros((1, 8), np.uint8), no_rows(EmbeddingStore(tmp_path, 4)), {})


@no_gpu
def test_without_a_gpu_the_processor_searches_and_cuda_is_refused(tmp_path: Path) -> None:
    library = Served(tmp_path)
    library.add(20)
    row = library.publish()
    assert row is not None
    version = Version.load(library.catalog, row)
    for device in ("auto", "cpu"):
        assert isinstance(version.placed(device).indexes[Modality.IMAGE].base, FaissBackend)
    with pytest.raises(ConfigError, match="set search.device to auto or cpu"):
        version.placed("cuda")
    library.close()


@no_gpu
def test_a_gpu_that_only_torch_can_use_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    backend = Case.build(tmp_path, 1, 9, 4, 8).backend
    assert placed(backend, "auto") is backend and placed(backend, "cpu") is backend
    with pytest.raises(ConfigError, match="FAISS searches on no GPU"):
        placed(backend, "cuda")


def test_an_empty_index_stays_where_it_is(tmp_path: Path) -> None:
    empty = FaissBackend(64, no_rows(EmbeddingStore(tmp_path, 4)))
    assert placed(empty, "auto") is empty and placed(empty, "cuda") is empty


@pytest.mark.parametrize("device", ["cpu", cuda])
def test_queries_are_timed_on_both_sides(device: str) -> None:
    codec = CodecSettings(bits=64, lists_from=700, parts=8)
    rows = crossover(torch.device(device), codec, counts=(300, 900), batches=(1, 4), dim=16)
    assert [(row["items"], row["codes"], row["batch"]) for row in rows] == [
        (count, codes, batch)
        for count, codes in ((300, "hash codes"), (900, "product codes in lists"))
        for batch in (1, 4)
    ]
    assert all(row["cpu_ms"] > 0 and row["device_ms"] > 0 and "ms a query" in _said(row).what for row in rows)


def test_codes_that_no_gpu_takes_are_not_timed_but_named() -> None:
    rows = crossover(torch.device("cpu"), CodecSettings(lists_from=400, parts=14), counts=(500,), dim=16)
    assert len(rows) == 1 and _said(rows[0]).level is Level.NOTE
    assert "of 1, 2, 3, 4, 8, 12" in _said(rows[0]).what and "are of 7" in _said(rows[0]).what


def test_a_trial_asks_for_no_more_than_there_is(tmp_path: Path) -> None:
    backend = Case.build(tmp_path, 1, 9, 4, 8).backend
    assert query_ms(backend, 2) > 0
