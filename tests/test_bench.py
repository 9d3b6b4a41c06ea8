"""`rebus bench` on a small library: its figures are what brute force says, and its memory is all that is held."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.catalog import Catalog
from engine.config import Config
from engine.index import FaissBackend
from engine.search import Searcher
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import Modality
from indexer.evaluation.bench import bench, drawn
from indexer.evaluation.memory import resident_bytes
from tests.conftest import silent


@pytest.fixture(scope="module")
def figures(library: Config) -> dict[str, Any]:
    return bench(library, silent)


def test_a_library_of_fewer_items_than_candidates_loses_nothing(figures: dict[str, Any]) -> None:
    assert set(figures["indexes"]) == {"image", "text"}
    image = figures["indexes"]["image"]
    assert (image["items"], image["delta"], image["queries"], image["asked_by"]) == (40, 0, 80, "text")
    assert image["recall_at_10"]["handed_on"] == image["recall_at_10"]["refined"] == 1.0
    assert image["best_found"]["refined"] == 1.0 >= image["best_found"]["codes"]
    assert figures["indexes"]["text"]["asked_by"] == "image"


def test_codes_alone_find_what_brute_force_says(library: Config, figures: dict[str, Any]) -> None:
    version = Searcher(library, Catalog(library)).version
    index = version.indexes[Modality.IMAGE]
    queries = drawn(version.indexes[Modality.TEXT], 500)
    there = [
        len(set(a[:10]) & set(b[:10]))
        for a, b in zip(index.exact(queries, 10, None)[0], index.recall(queries, 10, None)[0], strict=True)
    ]
    assert figures["indexes"]["image"]["recall_at_10"]["codes"] == pytest.approx(np.mean(there) / 10)


def test_times_are_of_every_stage_and_of_whole_searches(figures: dict[str, Any]) -> None:
    for facts in figures["indexes"].values():
        assert set(facts["milliseconds"]) == {"recall", "refine", "total", "exact"}
        for ms in facts["milliseconds"].values():
            assert 0 < ms["p50"] <= ms["p95"] <= ms["p99"]
        assert facts["batch_queries_per_s"] > 0
        assert facts["searches"]["asked_by"] == "words"
        assert {"encode", "total"} <= set(facts["searches"]["milliseconds"])


def test_filters_are_measured_from_all_items_to_a_thousandth(figures: dict[str, Any]) -> None:
    kept = figures["indexes"]["text"]["filters"]
    assert [row["allowed"] for row in kept] == [80, 40, 8, 1, 1]
    assert all(row["recall_at_10"] == 1.0 for row in kept)


def test_a_library_without_words_is_asked_by_its_own_items(served_pictures: Config) -> None:
    image = bench(served_pictures, silent)["indexes"]["image"]
    assert (image["asked_by"], image["searches"]["asked_by"], image["best_found"]["codes"]) == ("image", "items", 1.0)


@pytest.fixture
def served_pictures(tmp_path: Any) -> Config:
    from tests.served import Served

    library = Served(tmp_path)
    library.add(60)
    library.publish()
    library.add(5)
    library.close()
    return library.config


def test_memory_is_codes_ids_and_places(tmp_path: Any) -> None:
    """32 bytes of code, 8 of id, 8 of place and 1 that says whether it lives; 8 more where ids do not ascend."""
    count = 5000
    store, rows = EmbeddingStore(tmp_path, 8), np.zeros(count)
    stored = FaissBackend(256, StoredRows.none(store))
    stored.upsert(np.arange(count), np.zeros((count, 32), np.uint8), StoredRows(store, rows, rows), {})
    assert resident_bytes(stored) / count == pytest.approx(49, abs=0.1)
    held = FaissBackend(256, HeldRows.none(8))
    held.upsert(np.arange(count)[::-1], np.zeros((count, 32), np.uint8), HeldRows(np.zeros((count, 8), np.float32)), {})
    assert resident_bytes(held) / count == pytest.approx(32 + 24 + 1 + 8, abs=0.1)


def test_views_are_counted_once_and_whole_and_maps_not_at_all(tmp_path: Any) -> None:
    whole = np.zeros(1000, np.int64)
    assert resident_bytes([whole, whole, whole[:10]]) == resident_bytes((whole[5:],)) == 8000
    whole.tofile(tmp_path / "map")
    mapped = np.memmap(tmp_path / "map", np.int64, "r")
    assert resident_bytes([mapped, mapped[:10], np.asarray(mapped), np.asarray(mapped[:10])[:5], "text", None]) == 0


def test_the_command_prints_tables_and_json(library: Config, command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command(library.home, "bench")
    assert code == 0 and "exact scan" in out and "under a filter of 0.1%" in out and "40 of image" in out
    facts = json.loads(command(library.home, "bench", "--json")[1])
    assert set(facts) == {"index_version", "head", "candidates", "threads", "machine", "indexes"}


def test_what_is_told_is_as_deep_as_the_version_is_searched(
    changed: Config, command: Callable[..., tuple[int, str, str]]
) -> None:
    assert command(changed.home, "build", "--memory", "1MB")[0] == 0
    code, out, _ = command(changed.home, "bench")
    assert code == 0 and "the first 100 by codes" in out and "2,000" not in out
