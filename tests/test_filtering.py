"""Filters: exact in the catalog, and no less found in the index than without one, however few ids they allow."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import CodecSettings, SearchSettings
from engine.filtering import Filter, scan_pays
from engine.search import Searcher
from engine.types import F32, Array, Modality, Query, Term, Where
from tests.served import DIM, Served

COUNT, QUERIES = 2000, 20
SHARES = {"half": 2, "tenth": 10, "hundredth": 100, "thousandth": 1000}


def unit(x: Array) -> F32:
    rows: F32 = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return rows


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Pictures in clusters, of which a half, a tenth and so on are told by their paths; and captions off to a side."""
    served = Served(tmp_path_factory.mktemp("filtered"))
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((50, DIM))
    shown = unit(centres[rng.integers(0, 50, COUNT)] + 0.6 * rng.standard_normal((COUNT, DIM)))
    tails = ["".join(f"-{name}" for name, one in SHARES.items() if number % one == 0) for number in range(COUNT)]
    for tail in sorted(set(tails)):
        chosen = [number for number in range(COUNT) if tails[number] == tail]
        served.add(len(chosen), shown[chosen], f"{tail}.jpg")
    said = unit(shown[:: COUNT // QUERIES] + 0.5 * rng.standard_normal((QUERIES, DIM)) + rng.standard_normal(DIM))
    served.add(QUERIES, said, ".txt", "text")
    served.publish()
    yield served
    served.close()


def recall(searcher: Searcher, captions: list[int], where: Where, depth: int = 10) -> float:
    """The share of the exact first ten that the cascade finds."""
    there = found = 0
    for caption in captions:
        query = Query((Term(item=caption),), where=where, limit=depth, fold=False)
        exact, cascade = (searcher.search(replace(query, exact=way)).hits for way in (True, False))
        there += len(exact)
        found += len({hit.id for hit in exact} & {hit.id for hit in cascade})
    return found / there


@pytest.mark.usefixtures("codes_alone")
def test_no_filter_loses_what_is_found_without_one(library: Served) -> None:
    """With a first stage so shallow that something is lost."""
    config = replace(library.config, search=replace(library.config.search, candidates=60))
    searcher = Searcher(config, library.catalog)
    captions = library.catalog.ids_matching(Where(), Modality.TEXT)
    without = recall(searcher, captions, Where())
    assert 0.3 < without < 0.97
    for name, one_of in SHARES.items():
        where = Where(path=f"*-{name}*")
        assert len(library.catalog.ids_matching(where, Modality.IMAGE)) == COUNT // one_of
        assert recall(searcher, captions, where) >= without
    few = Where(path="*-hundredth*")
    assert recall(searcher, captions, few) == 1.0  # fewer than candidates: all are compared


def test_a_library_that_is_scanned_in_no_time_is_not_asked_by_its_codes(library: Served) -> None:
    searcher, caption = Searcher(library.config, library.catalog), library.catalog.ids_matching(Where(), Modality.TEXT)
    results = searcher.search(Query((Term(item=caption[0]),)))
    assert "exact" in results.took_ms and results.depths == {"exact": COUNT}


@pytest.mark.usefixtures("codes_alone")
def test_few_allowed_ids_are_compared_one_by_one_and_many_by_their_codes(library: Served) -> None:
    config = replace(library.config, search=replace(library.config.search, candidates=60))
    searcher = Searcher(config, library.catalog)
    caption = library.catalog.ids_matching(Where(), Modality.TEXT)[0]
    for glob, stages in ((None, {"recall"}), ("*-half*", {"recall"}), ("*-hundredth*", {"exact"}), ("none", {"exact"})):
        results = searcher.search(Query((Term(item=caption),), where=Where(path=glob), fold=False))
        assert set(results.took_ms) & {"recall", "exact"} == stages


@given(allowed=st.integers(0, 10**6), indexed=st.integers(0, 10**6), candidates=st.integers(1, 10**4))
def test_what_is_compared_one_by_one_is_bounded(allowed: int, indexed: int, candidates: int) -> None:
    pays = scan_pays(Filter(np.arange(allowed)), indexed, candidates)
    assert not scan_pays(None, indexed, candidates)
    assert pays or allowed > candidates
    assert not pays or allowed <= candidates + indexed


def test_libraries_are_compared_whole_up_to_where_lists_begin() -> None:
    most, candidates = CodecSettings().lists_from, SearchSettings().candidates
    assert scan_pays(None, most, candidates, in_place=True)
    assert not scan_pays(None, most + 1, candidates, in_place=True)
