"""The stages that a search goes through are named and timed, whichever they are."""

import pytest

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from engine.types import Query, Term
from engine.words import explained

BOAT = Query((Term(text="a red boat"),), explain=True)


@pytest.mark.usefixtures("codes_alone")
def test_codes_hand_on_to_refine_where_vectors_cannot_be_read_in_place(library: Config) -> None:
    results = Searcher(library, Catalog(library)).search(BOAT)
    assert set(results.took_ms) == {"encode", "recall", "refine", "catalog", "total"}
    assert results.hits[0].explanation is not None and results.hits[0].explanation.stages == ("recall", "refine")
    assert results.depths["codes"] == "sign-hash" and any(line.startswith("recall") for line in explained(results))


def test_all_of_a_small_library_is_compared(library: Config) -> None:
    results = Searcher(library, Catalog(library)).search(BOAT)
    assert set(results.took_ms) == {"encode", "exact", "catalog", "total"}
    assert results.hits[0].explanation is not None and results.hits[0].explanation.stages == ("exact",)
    assert results.depths == {"exact": 40} and any("all 40 vectors" in line for line in explained(results))
