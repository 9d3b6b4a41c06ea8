"""Inverted lists for one kind of items: their codec and their depths, from a sample of rows and the queries to come."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.codecs.pq import ProductCode
from engine.index import read_rows
from engine.lists import Depths, ListBackend
from engine.store import EmbeddingStore, StoredRows
from engine.types import F32, I64
from indexer.codecs.depths import choose_depths
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product

SAMPLE = 100_000
_JUDGES = 300
_FEWEST, _MOST = 16, 1 << 14


def fit_lists(read: Callable[[I64], F32], count: int, parts: int, queries: F32 | None) -> ProductCode:
    """Lists and codes for `count` rows that `read` gives by position, trained for the queries (m, d), if any."""
    positions = np.sort(np.random.default_rng(0).permutation(count)[:SAMPLE])
    asked = Asked.of(read(positions), queries)
    lists = 1 << round(math.log2(2 * math.sqrt(count)))
    return train_product(asked, parts, 4, min(max(lists, _FEWEST), _MOST, len(positions)))


def lists_facts(
    folder: Path, name: str, codec: ProductCode, store: EmbeddingStore, queries: F32 | None, wanted: float
) -> dict[str, Any]:
    """What a version's manifest says of lists whose rows are written; queries: held out from training them."""
    file = f"{name}.lists.safetensors"
    codec.save(folder / file)
    backend = ListBackend(codec, StoredRows.none(store), Depths(1, 1, 0.0))
    ids, codes, rows = read_rows(folder, name, store)
    backend.upsert(ids, codes, rows, {})
    if queries is None:  # items ask for items, among which they find themselves
        queries = rows[np.linspace(0, len(rows) - 1, min(_JUDGES, len(rows))).astype(np.int64)]
    depths, tried = choose_depths(backend, queries[:_JUDGES], wanted)
    return {"codec": {"kind": codec.kind, "file": file}, "depths": asdict(depths), "wanted": wanted, "tried": tried}
