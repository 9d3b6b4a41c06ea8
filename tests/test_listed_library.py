"""A library past the size for lists: built, searched, changed, and refused when its files are not as they were."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.artifacts import read_manifest
from engine.catalog import Caption, IndexVersion, Item
from engine.errors import ArtifactError
from engine.lists import ListBackend
from engine.search import Searcher
from engine.types import F32, Modality, Query, Term
from engine.versions import LiveIndex, Version
from indexer.build import build
from tests.conftest import config_at, silent
from tests.shelves import Shelf

DIM, PICTURES = 16, 400


def points(count: int, seed: int) -> F32:
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((count, DIM), np.float32)
        + 2 * rng.standard_normal((12, DIM), np.float32)[rng.integers(0, 12, count)]
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Pictures, each with a caption near it."""
    shelf = Shelf(config_at(tmp_path, codec={"bits": 64, "lists_from": 300, "parts": 8}), DIM)
    vectors = points(PICTURES, 1)
    pictures = shelf.add(*(Item(path=f"{i}.jpg") for i in range(PICTURES)), vectors=vectors.tolist())
    words = [Item(path=f"{i}.txt", modality="text") for i in range(PICTURES)]
    texts = shelf.add(*words, vectors=(vectors + points(PICTURES, 2) / 2).tolist())
    with shelf.catalog.session() as session:
        for text, owner in zip(texts, pictures, strict=True):
            session.add(Caption(id=text, owner_id=owner, text="words", lang="en", source="test"))
    yield shelf
    shelf.close()


def published(shelf: Shelf) -> Version:
    row = build(shelf.catalog, shelf.config, shelf.encoder, silent)
    assert row is not None
    return Version.load(shelf.catalog, row)


def agreement(index: LiveIndex, queries: F32) -> float:
    candidates, _ = index.recall(queries, index.depth or 0, None)
    found, truth = index.refine(queries, candidates, 10)[0], index.exact(queries, 10, None)[0]
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))


def test_a_large_library_keeps_lists_as_deep_as_its_recall_wants(shelf: Shelf) -> None:
    version = published(shelf)
    index = version.indexes[Modality.IMAGE]
    facts = read_manifest(shelf.config.home / "versions" / f"{version.id:06d}")["indexes"]["image"]["scanned"]
    assert isinstance(index.base, ListBackend)
    assert index.depth == facts["depths"]["candidates"] and facts["depths"]["recall"] >= facts["wanted"] == 0.95
    queries = points(50, 2)
    assert agreement(index, queries / np.linalg.norm(queries, axis=1, keepdims=True)) > 0.8


def test_below_that_size_all_hash_codes_are_searched(shelf: Shelf) -> None:
    shelf.config = replace(shelf.config, codec=replace(shelf.config.codec, lists_from=PICTURES + 1))
    index = published(shelf).indexes[Modality.IMAGE]
    assert not isinstance(index.base, ListBackend) and index.depth is None


def test_what_is_added_and_removed_shows_over_lists(shelf: Shelf) -> None:
    published(shelf)
    searcher = Searcher(shelf.config, shelf.catalog)
    searcher.refresh()
    (new,) = shelf.add(Item(path="new.jpg"), vectors=[[9.0] + [0.0] * (DIM - 1)])
    query = Query((Term(item=new),), limit=3)
    assert searcher.refresh()
    first, second, _ = (hit.id for hit in searcher.search(query).hits)
    assert first == new
    shelf.change([second], removed_at=1.0e10)
    assert searcher.refresh()
    assert second not in [hit.id for hit in searcher.search(query).hits]
    assert sorted(hit.id for hit in searcher.search(replace(query, limit=PICTURES + 1)).hits) == sorted(
        {*range(1, PICTURES + 1), new} - {second}
    )
    published(shelf)
    assert searcher.refresh() and searcher.search(query).hits[0].id == new


@pytest.mark.parametrize("part", ["codes.safetensors", "codes.npy", "ids.npy", "rows.npy", "codec.safetensors"])
def test_a_version_cut_short_is_refused(shelf: Shelf, part: str) -> None:
    version = published(shelf)
    with shelf.catalog.session() as session:
        row = session.get_one(IndexVersion, version.id)
    path = shelf.config.home / row.folder / f"image.{part}"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=part):
        Version.load(shelf.catalog, row)
