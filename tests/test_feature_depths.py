"""Imported features of any length: depths and plans are measured by the cosines that searches compare."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.artifacts import read_manifest
from engine.catalog import Item
from engine.config import CodecSettings
from engine.search import Searcher
from engine.types import F32, Modality, Term
from engine.versions import LiveIndex, Version, embeddings_after
from indexer.build import Recipe, build
from indexer.care.compact import compact
from indexer.planning import plan
from indexer.sources import queries_for, sources_of
from tests.conftest import config_at, silent
from tests.shelves import Shelf
from tests.test_listed_library import DIM, points

COUNT = 600
RECIPE = Recipe(CodecSettings("hashing", 64), 0.95, planned=True)
LISTS = Recipe(CodecSettings(lists_from=300, parts=8), 0.95, planned=True)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Pictures whose features differ a thousandfold in length, and words near them."""
    shelf = Shelf(config_at(tmp_path), DIM, spec=f"features:net/image={DIM},text={DIM}")
    vectors, lengths = points(COUNT, 1), np.random.default_rng(2).permutation(np.geomspace(0.02, 20, COUNT))[:, None]
    shelf.add(*(Item(path=f"{i}.jpg") for i in range(COUNT)), vectors=(vectors * lengths).tolist())
    words = [Item(path=f"{i}.txt", modality="text") for i in range(COUNT)]
    shelf.add(*words, vectors=(vectors + points(COUNT, 2) / 2).tolist())
    yield shelf
    shelf.close()


def held_out(shelf: Shelf, version: Version, modality: Modality = Modality.IMAGE) -> F32:
    found = embeddings_after(shelf.catalog, shelf.encoder.id, 0)
    sources = sources_of(shelf.catalog, version.head, version.store, found)
    asked = queries_for(shelf.catalog, version.head, modality, sources)[1]
    assert asked is not None
    return asked


def recall(index: LiveIndex, queries: F32) -> float:
    """Recall@10 of a search as deep as was measured, by cosines."""
    assert index.depth is not None
    found = [index.search(query[None], index.depth, 10, None)[0] for query in queries]
    truth = index.exact(queries, 10, None)[0]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))


@pytest.mark.parametrize("recipe", [RECIPE, LISTS])
def test_depths_are_measured_by_cosines(shelf: Shelf, recipe: Recipe) -> None:
    row = build(shelf.catalog, shelf.config, shelf.encoder, silent, recipe=recipe)
    assert row is not None
    version = Version.load(shelf.catalog, row)
    said = read_manifest(shelf.config.home / row.folder)["indexes"]["image"]["depths"]["recall"]
    assert version.store.raw and said == pytest.approx(
        recall(version.indexes[Modality.IMAGE], held_out(shelf, version)), abs=1e-3
    )


def test_plans_are_measured_by_cosines(shelf: Shelf) -> None:
    plans = plan(shelf.catalog, shelf.encoder, 24 * 2 * COUNT, 0.95, silent)
    measured = next(one for one in plans.plans if one.codec.bits == RECIPE.codec.bits)
    row = build(shelf.catalog, shelf.config, shelf.encoder, silent, recipe=RECIPE)
    assert row is not None
    version = Version.load(shelf.catalog, row)
    modality = Modality(measured.modality)
    deep = recall(version.indexes[modality], held_out(shelf, version, modality))
    assert measured.recall == pytest.approx(deep, abs=1e-3)


def test_an_item_asks_by_its_unit_row_while_its_shards_are_compacted(shelf: Shelf) -> None:
    build(shelf.catalog, shelf.config, shelf.encoder, silent, recipe=RECIPE)
    searcher, asked = Searcher(shelf.config, shelf.catalog), [Term(item=1), Term(item=COUNT)]
    before = searcher.encode(asked)
    assert compact(shelf.catalog, shelf.config, shelf.encoder, silent)
    after = searcher.encode(asked)
    assert searcher.version.generation == 0 and np.linalg.norm(after, axis=1) == pytest.approx(1, abs=1e-5)
    assert after == pytest.approx(before, abs=1e-6)
