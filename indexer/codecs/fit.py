"""The codes of one kind of items: fitted to a sample of rows and the queries to come, with the depths they need."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from engine.codecs import Scanned
from engine.codecs.hashing import ScaledHash, SignHash, drawn_rotation
from engine.config import CodecSettings
from engine.index import FaissBackend, Rows
from engine.lists import Depths, ListBackend
from engine.store import EmbeddingStore
from engine.types import F32, I64
from indexer.codecs.additive import train_additive
from indexer.codecs.depths import choose_candidates, choose_depths
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product
from indexer.codecs.rotations import descended, itq
from indexer.sources import sample

SAMPLE = 100_000
TRAINED_FROM = 2000  # items: fewer are no sample to train codes on, and quickly searched by their hash codes
_JUDGES = 300
_FEWEST, _MOST = 16, 1 << 14
_LEVELS = 4  # of additive codes, or the next number that their bytes can be divided by


def fit_codes(
    settings: CodecSettings, read: Callable[[I64], F32], count: int, queries: F32 | None
) -> tuple[SignHash, Scanned | None]:
    """The hash codes of `count` rows that `read` gives by position, and what is scanned in their place, if anything.

    Trained for the queries (m, d), if there are any, where `trains` says so.
    """
    rows = read(sample(count))
    if not trains(settings, count):
        return SignHash.fit(rows, settings.bits), None
    asked = Asked.of(read(sample(count, SAMPLE)), queries)
    if not scans(settings, count):
        return SignHash.fit(rows, settings.bits, rotation=_rotation(settings, asked)), None
    return SignHash.fit(rows, settings.bits), _scanned(settings, asked, count)


def _scanned(settings: CodecSettings, asked: Asked, count: int) -> Scanned:
    """Lists of 4-bit product codes from `lists_from` rows on, else codes of `kind` for a scan of all."""
    if count >= settings.lists_from:
        return train_product(asked, settings.parts, 4, min(lists_for(count), len(asked.rows)))
    if settings.kind == "rabitq":
        return ScaledHash.fit(asked.rows, _rotation(settings, asked), asked.expected())
    size = settings.bits // 8
    if settings.kind == "vq":
        groups = groups_for(size, asked.rows.shape[1])
        return train_additive(asked, groups, size // groups)
    return train_product(asked, size)


def _rotation(settings: CodecSettings, asked: Asked) -> F32:
    if settings.rotation == "drawn":
        return drawn_rotation(asked.rows.shape[1], settings.bits)
    with threadpool_limits(limits=1, user_api="blas"):  # as a drawn one is made
        return itq(asked.rows, settings.bits) if settings.rotation == "itq" else descended(asked, settings.bits)


def lists_for(count: int) -> int:
    """Lists that so many rows are kept in: a power of two."""
    return min(max(1 << round(math.log2(2 * math.sqrt(count))), _FEWEST), _MOST)


def scans(settings: CodecSettings, count: int) -> bool:
    """Whether so many rows get codes of another kind, beside the hash codes that a delta needs."""
    return count >= settings.lists_from or (settings.kind != "hashing" and count >= TRAINED_FROM)


def trains(settings: CodecSettings, count: int) -> bool:
    """Whether the codes of so many rows are fitted to queries, or to more rows than hash codes of a drawn rotation."""
    return scans(settings, count) or (settings.rotation != "drawn" and count >= TRAINED_FROM)


def depth_facts(
    folder: Path, name: str, codec: SignHash | Scanned, store: EmbeddingStore, queries: F32 | None, wanted: float
) -> dict[str, Any]:
    """How deep codes that are written must be looked into, as a version's manifest says it.

    queries: held out from training; without any, items ask for items, among which they find themselves.
    """
    if isinstance(codec, SignHash):
        hashed = FaissBackend.load(folder, name, codec.code_size * 8, store)
        depths, tried = choose_candidates(hashed, codec, _judges(hashed.vectors, queries), wanted)
    else:
        backend = ListBackend.load(folder, name, codec, store, Depths(1, 1, 0.0))
        depths, tried = choose_depths(backend, _judges(backend.vectors, queries), wanted)
    return {"depths": asdict(depths), "wanted": wanted, "tried": tried}


def _judges(rows: Rows, queries: F32 | None) -> F32:
    if queries is None:
        return rows[np.linspace(0, len(rows) - 1, min(_JUDGES, len(rows))).astype(np.int64)]
    return queries[:_JUDGES]


def groups_for(size: int, dim: int) -> int:
    """Groups of dimensions for additive codes of so many bytes: a divisor of both, for about _LEVELS levels each."""
    divisors = [groups for groups in range(1, size + 1) if size % groups == 0 and dim % groups == 0]
    return min(divisors, key=lambda groups: abs(math.log(size / groups / _LEVELS)))
