"""What an index takes of memory, told before its codes are trained: drawn ones take as much, and no time to make."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.codecs.hashing import SignHash
from engine.config import CodecSettings
from engine.index import FaissBackend, write_rows
from engine.lists import Depths, ListBackend
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.versions import LiveIndex
from indexer.codecs.drawn import drawn_codec
from indexer.codecs.fit import scans
from indexer.evaluation.memory import resident_bytes
from indexer.sources import Source, blocks


def laid(source: Source, folder: Path) -> Source:
    """The source with its rows in a store: what a head projects is written into the folder, once for all plans."""
    if source.kept is not None:
        return source
    dim = source.read(np.arange(1)).shape[1]
    store = EmbeddingStore(folder, dim, summed=False)
    kept = StoredRows.none(store)
    for positions in blocks(len(source.ids)):
        kept = kept.extended(StoredRows(store, *store.append(source.read(positions))))
    return replace(source, read=kept.__getitem__, kept=kept)


def weight(folder: Path, source: Source, settings: CodecSettings) -> int:
    """Bytes of memory that an index of these rows takes, which lie in a store. Files are written into the folder."""
    assert source.kept is not None
    count, store, rng = len(source.ids), source.kept.store, np.random.default_rng(0)
    rotation, mean = np.zeros((store.dim, settings.bits), np.float32), np.zeros(store.dim, np.float32)
    hashes, depths = SignHash(rotation, mean, np.zeros(1, np.float32)), Depths(1, 1, 0.0)
    fine = drawn_codec(settings, count, store.dim) if scans(settings, count) else None
    size = (fine or hashes).code_size
    write_rows(folder, "weighed", source.ids, rng.integers(0, 256, (count, size), np.uint8), source.kept)
    base: FaissBackend | ListBackend = (
        FaissBackend.load(folder, "weighed", settings.bits, store)
        if fine is None
        else ListBackend.load(folder, "weighed", fine, store, depths)
    )
    return resident_bytes(LiveIndex(hashes, base, FaissBackend(settings.bits, HeldRows.none(store.dim)), depths))
