"""What a plan promises of memory is what the version built by it takes, and the delta beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.catalog import Item
from engine.search import Searcher
from engine.types import Modality
from indexer.build import Recipe, build
from indexer.evaluation.memory import resident_bytes
from indexer.planning import plan
from tests.conftest import config_at, silent
from tests.shelves import Shelf
from tests.test_listed_library import DIM, points

PICTURES, WORDS = 2400, 1100


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """Pictures enough for lists, words that are not, and a delta beside both."""
    monkeypatch.setattr("indexer.planning.BITS", {"hashing": (64,), "pq": (), "vq": ()})
    monkeypatch.setattr("indexer.planning.PARTS", (16,))
    monkeypatch.setattr("indexer.planning._LISTS_FROM", PICTURES)
    monkeypatch.setattr("indexer.build._SMALL", 100)
    shelf = Shelf(config_at(tmp_path), DIM)
    add(shelf, PICTURES, Modality.IMAGE)
    add(shelf, WORDS, Modality.TEXT)
    yield shelf
    shelf.close()


def add(shelf: Shelf, count: int, modality: Modality) -> None:
    items = [Item(path=f"{modality}{count}/{number}", modality=modality) for number in range(count)]
    shelf.add(*items, vectors=points(count, len(modality)).tolist())


def test_a_version_takes_what_its_plan_promised_by_modality_and_delta(shelf: Shelf) -> None:
    plans = plan(shelf.catalog, shelf.encoder, 10**6, 0.9, silent).plans
    assert [one.name for one in plans] == ["hash codes, 8 bytes", "product codes in lists, 8 bytes"]
    for one in plans:
        build(shelf.catalog, shelf.config, shelf.encoder, silent, recipe=Recipe(one.codec, 0.9, planned=True))
        version = Searcher(shelf.config, shelf.catalog).version
        held = {str(modality): resident_bytes(index) for modality, index in version.indexes.items()}
        assert held == pytest.approx(one.held, rel=0.02) and one.bytes == sum(one.held.values())
    assert "lists" in version.indexes[Modality.IMAGE].explained(10)
    assert "lists" not in version.indexes[Modality.TEXT].explained(10)
    for modality, count in ((Modality.IMAGE, PICTURES // 10), (Modality.TEXT, WORDS // 10)):
        add(shelf, count, modality)
    searcher = Searcher(shelf.config, shelf.catalog)
    assert searcher.refresh() and len(searcher.version.indexes[Modality.IMAGE].delta) == PICTURES // 10
    delta = sum(resident_bytes(index.delta) for index in searcher.version.indexes.values())
    assert delta == pytest.approx(plans[-1].delta, rel=0.05)
