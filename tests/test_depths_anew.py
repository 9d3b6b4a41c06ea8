"""Depths are measured anew when a library has grown, and what was right for a tenth of it is not kept."""

from pathlib import Path
from typing import Any

import numpy as np

from engine.artifacts import read_manifest
from engine.catalog import Caption, Item
from engine.lists import Depths, ListBackend
from engine.types import F32, Modality
from engine.versions import Version
from indexer.build import build, is_current
from tests.conftest import config_at, silent
from tests.shelves import Shelf
from tests.test_listed_library import DIM, points

FEW, MANY = 300, 3000


def put(shelf: Shelf, count: int, seed: int) -> F32:
    """Pictures, each with a caption near it; the captions."""
    vectors = points(count, seed)
    words = vectors + points(count, seed + 1) / 2
    pictures = shelf.add(*(Item(path=f"{seed}-{i}.jpg") for i in range(count)), vectors=vectors.tolist())
    texts = [Item(path=f"{seed}-{i}.txt", modality="text") for i in range(count)]
    made = shelf.add(*texts, vectors=words.tolist())
    with shelf.catalog.session() as session:
        for text, owner in zip(made, pictures, strict=True):
            session.add(Caption(id=text, owner_id=owner, text="words", lang="en", source="test"))
    return np.asarray(words / np.linalg.norm(words, axis=1, keepdims=True), np.float32)


def built(shelf: Shelf) -> tuple[dict[str, Any], ListBackend]:
    """What the manifest says of pictures, and their index."""
    row = build(shelf.catalog, shelf.config, shelf.encoder, silent)
    assert row is not None
    base = Version.load(shelf.catalog, row).indexes[Modality.IMAGE].base
    assert isinstance(base, ListBackend)
    return read_manifest(shelf.config.home / row.folder)["indexes"]["image"], base


def recall(base: ListBackend, queries: F32, depths: Depths) -> float:
    before, base.depths = base.depths, depths
    found, _ = base.rescore(queries, base.recall(queries, depths.candidates)[0], 10)
    base.depths = before
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(base.exact(queries, 10)[0], found, strict=True)]))


def test_depths_are_chosen_anew_when_the_library_has_grown_tenfold(tmp_path: Path) -> None:
    shelf = Shelf(config_at(tmp_path, codec={"bits": 64, "lists_from": FEW, "parts": 8}), DIM)
    queries = put(shelf, FEW, 1)
    before, _ = built(shelf)
    assert is_current(shelf.catalog, shelf.encoder)
    queries = np.concatenate([queries, put(shelf, MANY - FEW, 3)])[::25]
    assert not is_current(shelf.catalog, shelf.encoder)
    after, base = built(shelf)
    assert len(base) == MANY and after["tried"] != before["tried"]
    chosen = Depths(**after["depths"])
    assert base.depths == chosen and chosen.recall >= after["wanted"] == 0.95
    assert recall(base, queries, chosen) >= 0.9
    shelf.close()
