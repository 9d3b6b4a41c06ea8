"""Pages of what is found by codes: they follow on each other past the measured depth, and long ones find as much."""

from dataclasses import replace

import numpy as np
import pytest

from engine.search import Searcher
from engine.types import Modality, Mode, Query, Term
from tests.shelves import Shelf
from tests.test_listed_library import PICTURES, points, published, shelf
from webui.paging import search_page
from webui.services import Services

__all__ = ["shelf"]
SIZE = 12


def asked(seed: int, **changes: object) -> Query:
    """A query that lies off the pictures, as words do."""
    term = Term(vector=tuple(points(1, seed)[0].tolist()))
    return replace(Query((term,), limit=SIZE, mode=Mode.VECTOR), **changes)  # type: ignore[arg-type]


@pytest.fixture
def searcher(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Searcher:
    """Over 32 lists, of which four are looked into, whichever depths would be quicker."""
    monkeypatch.setattr("indexer.codecs.depths._PROBES", (4,))
    monkeypatch.setattr("indexer.codecs.depths._CANDIDATES", (50,))
    index = published(shelf).indexes[Modality.IMAGE]
    assert index.depths is not None and (index.depths.probes, index.depth) == (4, 50)
    return Searcher(shelf.config, shelf.catalog)


@pytest.mark.parametrize("fold", [True, False])
def test_pages_past_the_measured_depth_repeat_nothing(searcher: Searcher, fold: bool) -> None:
    for seed in range(5):
        query = asked(seed, fold=fold)
        pages = [searcher.search(replace(query, offset=start)).hits for start in range(0, PICTURES, SIZE)]
        ids = [hit.id for page in pages for hit in page]
        assert len(ids) == len(set(ids)) == PICTURES


@pytest.mark.parametrize("fold", [True, False])
def test_a_window_around_a_page_ranks_as_the_page_does(searcher: Searcher, fold: bool) -> None:
    for seed in range(5):
        query = asked(seed, fold=fold)
        pages = [searcher.search(replace(query, offset=start)).hits for start in range(0, 5 * SIZE, SIZE)]
        window = searcher.search(replace(query, limit=5 * SIZE), page=SIZE).hits
        assert [hit.id for hit in window] == [hit.id for page in pages for hit in page]


def test_cursors_go_on_where_a_page_ended_though_the_ranking_became_another(shelf: Shelf, searcher: Searcher) -> None:
    services = Services(shelf.config, searcher)
    query = asked(3, fold=False)
    first, cursor = search_page(services, query, None)
    services.searcher._live.changes += 1  # as if something had been added that ranks nowhere here
    second, _ = search_page(services, query, cursor)
    expected = services.searcher.search(replace(query, offset=SIZE)).hits
    assert [hit.id for hit in second.hits] == [hit.id for hit in expected]
    assert not {hit.id for hit in first.hits} & {hit.id for hit in second.hits}


def test_a_long_page_is_found_as_a_short_one_is(searcher: Searcher) -> None:
    shares = []
    for seed in range(20):
        query = asked(seed, fold=False, limit=100)
        truth, found = ({hit.id for hit in searcher.search(replace(query, exact=e)).hits} for e in (True, False))
        shares.append(len(truth & found) / 100)
    assert np.mean(shares) >= 0.95
