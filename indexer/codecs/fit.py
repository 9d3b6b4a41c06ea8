"""The codes of one kind of items: fitted to a sample of rows and the queries to come, with the depths they need."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.codecs import Scanned
from engine.config import CodecSettings
from engine.index import read_rows
from engine.lists import Depths, ListBackend
from engine.store import EmbeddingStore, StoredRows
from engine.types import F32, I64
from indexer.codecs.additive import train_additive
from indexer.codecs.depths import choose_depths
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product

SAMPLE = 100_000
TRAINED_FROM = 2000  # items: fewer are no sample for codebooks, and quickly searched by their hash codes
_JUDGES = 300
_FEWEST, _MOST = 16, 1 << 14
_LEVELS = 4  # of additive codes, or the next number that their bytes can be divided by


def fit_codes(settings: CodecSettings, read: Callable[[I64], F32], count: int, queries: F32 | None) -> Scanned:
    """A codec for `count` rows that `read` gives by position, trained for the queries (m, d), if any.

    Lists of 4-bit product codes from `lists_from` rows on, else codes of `kind` for a scan of all.
    """
    positions = np.sort(np.random.default_rng(0).permutation(count)[:SAMPLE])
    asked = Asked.of(read(positions), queries)
    if count >= settings.lists_from:
        lists = 1 << round(math.log2(2 * math.sqrt(count)))
        return train_product(asked, settings.parts, 4, min(max(lists, _FEWEST), _MOST, len(positions)))
    size = settings.bits // 8
    if settings.kind == "vq":
        groups = _groups(size, asked.rows.shape[1])
        return train_additive(asked, groups, size // groups)
    return train_product(asked, size)


def scans(settings: CodecSettings, count: int) -> bool:
    """Whether so many rows get product or additive codes, beside the hash codes that a delta needs."""
    return count >= settings.lists_from or (settings.kind != "hashing" and count >= TRAINED_FROM)


def codes_facts(
    folder: Path, name: str, codec: Scanned, store: EmbeddingStore, queries: F32 | None, wanted: float
) -> dict[str, Any]:
    """What a version's manifest says of codes whose rows are written; queries: held out from training them."""
    file = f"{name}.codes.safetensors"
    codec.save(folder / file)
    backend = ListBackend(codec, StoredRows.none(store), Depths(1, 1, 0.0))
    ids, codes, rows = read_rows(folder, name, store)
    backend.upsert(ids, codes, rows, {})
    if queries is None:  # items ask for items, among which they find themselves
        queries = rows[np.linspace(0, len(rows) - 1, min(_JUDGES, len(rows))).astype(np.int64)]
    depths, tried = choose_depths(backend, queries[:_JUDGES], wanted)
    return {"codec": {"kind": codec.kind, "file": file}, "depths": asdict(depths), "wanted": wanted, "tried": tried}


def _groups(size: int, dim: int) -> int:
    """Groups of dimensions for additive codes of so many bytes: a divisor of both, for about _LEVELS levels each."""
    divisors = [groups for groups in range(1, size + 1) if size % groups == 0 and dim % groups == 0]
    return min(divisors, key=lambda groups: abs(math.log(size / groups / _LEVELS)))
