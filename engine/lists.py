"""Inverted lists for large libraries: the lists nearest to a query, their fast-scan codes, then exact refine.

Hash recall over all codes grows with the library; this reads a few in a hundred of them. FAISS holds positions, not
catalog ids: ids and places stay on the disk, memory-mapped, since only those of candidates are read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from engine.codecs.pq import ProductCode
from engine.filtering import Filter
from engine.index import Caps, PlacedRows, Rows, read_rows
from engine.store import EmbeddingStore, StoredRows
from engine.types import F32, I64, U8, Array


@dataclass(frozen=True, slots=True)
class Depths:
    """How deep the cascade looks: lists probed, candidates refined, and the recall@10 that was measured with both."""

    probes: int
    candidates: int
    recall: float


class ListBackend(PlacedRows):
    """4-bit product codes of what the lists' centroids leave, in a FAISS IndexIVFPQFastScan.

    `delete` is safe beside searches, `upsert` is not.
    """

    def __init__(self, codec: ProductCode, vectors: Rows, depths: Depths) -> None:
        """An empty backend. codec: with lists, 4 bits a part. vectors: no rows, of the kind that it is to be given."""
        super().__init__(vectors)
        self.caps = Caps(adc=True, exact_dtype="float16", max_candidates=1 << 20, distributed=False)
        self.codec, self.depths = codec, depths
        self._coarse = faiss.IndexFlatIP(codec.rotation.shape[1])
        self._coarse.add(np.ascontiguousarray(codec.lists))
        self._index: Any = self._packed(np.empty((0, codec.code_size), np.uint8), 0)

    def upsert(self, ids: I64, codes: U8, vectors: Rows, attrs: Mapping[str, Array]) -> None:
        """Add (n,) ids with their codes (n, code_size) and vectors; an id that is there is replaced."""
        added = self._packed(codes, len(self._ids))
        if self._index.ntotal:
            self._index.merge_from(added, 0)
        else:
            self._index = added
        self._append(ids, vectors)

    def _packed(self, codes: U8, first: int) -> Any:
        """A fast-scan index of these codes, at positions from `first` on."""
        quantizer, lists = self.codec.quantizer, len(self.codec.lists)
        plain: Any = faiss.IndexIVFPQ(
            self._coarse, quantizer.d, lists, quantizer.M, quantizer.nbits, faiss.METRIC_INNER_PRODUCT
        )
        plain.by_residual = plain.is_trained = True
        plain.pq = quantizer
        numbers, rest = self.codec.split(codes)
        order = np.argsort(numbers, kind="stable")
        bounds = np.searchsorted(numbers[order], np.arange(lists + 1))
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            chosen = order[bounds[number] : bounds[number + 1]]
            positions, entries = np.ascontiguousarray(chosen + first), np.ascontiguousarray(rest[chosen])
            plain.invlists.add_entries(number, len(chosen), faiss.swig_ptr(positions), faiss.swig_ptr(entries))
        plain.ntotal = len(codes)
        fast = faiss.IndexIVFPQFastScan(plain)
        fast.by_residual = True
        return fast

    def recall(self, q: F32, m: int, where: Filter | None = None) -> tuple[I64, F32]:
        """The m best codes in the lists nearest to each query (nq, d): ids and estimated cosines (nq, m), descending.

        More lists are looked into for an m past the measured depth, and all for one that covers everything.
        """
        allowed = self._allowed(where)
        ids = np.full((len(q), m), -1, np.int64)
        scores = np.full((len(q), m), -np.inf, np.float32)
        count = min(m, int(allowed.sum()))
        if not count:
            return ids, scores
        settings: dict[str, Any] = {"nprobe": self._probes(m)}
        bitmap = np.packbits(allowed, bitorder="little")
        if not allowed.all():
            settings["sel"] = faiss.IDSelectorBitmap(len(bitmap), faiss.swig_ptr(bitmap))
        parameters = faiss.SearchParametersIVF(**settings)
        found, positions = self._index.search(self.codec.rotated(q), count, params=parameters)
        there = positions >= 0
        ids[:, :count] = np.where(there, self._ids[np.maximum(positions, 0)], -1)
        scores[:, :count] = np.where(there, found + (q @ self.codec.mean)[:, None], -np.inf)
        return ids, scores

    def _probes(self, m: int) -> int:
        lists = len(self.codec.lists)
        if m >= len(self):
            return lists
        return min(lists, math.ceil(self.depths.probes * max(1.0, m / self.depths.candidates)))

    @classmethod
    def load(cls, folder: Path, name: str, codec: ProductCode, store: EmbeddingStore, depths: Depths) -> "ListBackend":
        """Read what `write_rows` wrote."""
        backend = cls(codec, StoredRows.none(store), depths)
        ids, codes, rows = read_rows(folder, name, store)
        backend.upsert(ids, codes, rows, {})
        return backend
