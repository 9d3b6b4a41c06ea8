"""A library past the size for lists: built, searched, changed, and refused when its files are not as they were."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.artifacts import read_manifest
from engine.catalog import Caption, IndexVersion, Item
from engine.config import CodecSettings
from engine.errors import ArtifactError
from engine.lists import ListBackend
from engine.search import Searcher
from engine.types import F32, Modality, Query, Term
from engine.versions import LiveIndex, Version
from engine.words import explained, readable_bytes
from indexer.build import Recipe, build
from indexer.evaluation.memory import resident_bytes
from indexer.history import listed, over_budget
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


@pytest.fixture
def two(shelf: Shelf) -> Shelf:
    """Two versions of the same."""
    published(shelf)
    published(shelf)
    return shelf


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
    facts = read_manifest(shelf.config.home / "versions" / f"{version.id:06d}")["indexes"]["image"]
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


@pytest.mark.parametrize("kind", ["rabitq", "pq", "vq"])
def test_all_codes_are_scanned_where_there_are_too_few_for_lists(
    shelf: Shelf, kind: Literal["rabitq", "pq", "vq"], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.config = replace(shelf.config, codec=replace(shelf.config.codec, lists_from=PICTURES + 1, kind=kind))
    hashed = published(shelf).indexes[Modality.IMAGE]
    assert hashed.depth is None  # a few hundred items are no sample to train codebooks on
    monkeypatch.setattr("indexer.codecs.fit.TRAINED_FROM", PICTURES)
    index = published(shelf).indexes[Modality.IMAGE]
    assert isinstance(index.base, ListBackend) and index.base.lists == 1 and index.base.depths.recall >= 0.95
    assert index.base.codec.kind == {"rabitq": "scaled-hash", "pq": "product", "vq": "additive"}[kind]
    assert index.base.codec.code_size == 8 + (kind == "rabitq")  # 64 bits, as the hash codes have, and a factor
    told = listed(shelf.catalog)[0]["codes"]["image"]
    assert (told["kind"], told["bytes"]) == (index.base.codec.kind, index.base.codec.code_size)
    assert 1 < told.get("perplexity", 2) <= 256 and ("restarted" in told) == ("perplexity" in told) == (kind == "vq")
    searcher = Searcher(shelf.config, shelf.catalog)
    for item in (1, 50, PICTURES):
        assert searcher.search(Query((Term(item=item),), limit=3)).hits[0].id == item


def test_a_version_that_outgrew_the_budget_of_its_plan_says_so(shelf: Shelf) -> None:
    codec, made = CodecSettings("hashing", 64), partial(build, shelf.catalog, shelf.config, shelf.encoder, silent)
    assert over_budget(shelf.catalog, published_row(made(recipe=Recipe(codec, 0.9, True, memory=100_000)))) == []
    first = published_row(made(recipe=Recipe(codec, 0.9, True, memory=5_000)))
    grown = published_row(made())  # as `rebus index` builds it, by the same plan
    for row in (first, grown):
        version = Version.load(shelf.catalog, row)
        held = sum(resident_bytes(index) for index in version.indexes.values())
        (said,) = over_budget(shelf.catalog, row)
        assert f"takes {readable_bytes(held)} of memory, and was planned for 5.0 kB" in said
        assert "`rebus build --memory 5kB --recall 0.9`" in said
    assert over_budget(shelf.catalog, published_row(made(recipe=Recipe(codec, 0.9)))) == []


def published_row(row: IndexVersion | None) -> IndexVersion:
    assert row is not None
    return row


def test_a_search_says_how_deep_it_looked(shelf: Shelf) -> None:
    index = published(shelf).indexes[Modality.IMAGE]
    searcher, base = Searcher(shelf.config, shelf.catalog), index.base
    assert isinstance(base, ListBackend)
    plain = searcher.search(Query((Term(item=1),), limit=3))
    assert plain.depths == {
        "codes": "product", "items": PICTURES, "candidates": base.depths.candidates, "lists": base.lists,
        "probes": base.depths.probes, "measured_recall": base.depths.recall,
    }  # fmt: skip
    (cascade,) = (line for line in explained(plain) if line.startswith("cascade"))  # both stages, in one call
    assert not {"recall", "refine"} & set(plain.took_ms)
    assert f"in {base.depths.probes} of {base.lists} lists of 400 items" in cascade
    assert f"{base.depths.candidates} candidates" in cascade
    exact = searcher.search(Query((Term(item=1),), exact=True))
    assert exact.depths == {"exact": PICTURES} and any("all 400 vectors" in line for line in explained(exact))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_version_cut_short_anywhere_is_refused_and_the_last_one_serves(two: Shelf, data: st.DataObject) -> None:
    newest, last = two.catalog.versions()
    folder = two.config.home / newest.folder
    path = folder / data.draw(st.sampled_from(sorted(path.name for path in folder.iterdir())))
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    try:
        with pytest.raises(ArtifactError, match=path.name):
            Version.load(two.catalog, newest)
        searcher = Searcher(two.config, two.catalog)
        assert searcher.search(Query((Term(item=7),), limit=3)).index_version == last.id
        assert searcher.search(Query((Term(item=7),), limit=3)).hits[0].id == 7
    finally:
        path.write_bytes(whole)
    assert Searcher(two.config, two.catalog).version.id == newest.id
