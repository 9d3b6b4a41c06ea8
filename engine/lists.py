"""Codes that FAISS scans by estimated inner products (ADC): in a few inverted lists of many, or in one.

Hash recall over all codes grows with the library; lists let a search read a few in a hundred of the codes. FAISS holds
positions, not catalog ids: ids and places stay on the disk, memory-mapped, since only those of candidates are read.
What is loaded holds where its rows lie in the store instead, if these can be read in place: then FAISS refines too.

A filter never costs recall: lists are looked into until they held as many allowed codes as the measured number of lists
holds without one, all of them if need be. The same holds for what was removed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from engine.codecs import Scanned
from engine.codecs.pq import LIST_BYTES, ProductCode
from engine.filtering import Filter
from engine.index import Caps, PlacedRows, Rows, Selected, read_rows
from engine.store import EmbeddingStore, StoredRows
from engine.types import F32, I64, U8, Array
from engine.views import flat_index, pack_lists, refined, renumber

FAST_SCAN_BITS = 4
_NARROWED, _KEPT = 512, 3  # so many lists are first narrowed by codes of their own, to so many times those wanted


@dataclass(frozen=True, slots=True)
class Depths:
    """How deep the cascade looks: lists probed, candidates refined, and the recall@10 that was measured with both."""

    probes: int
    candidates: int
    recall: float


class ListBackend(PlacedRows):
    """Codes in a FAISS IndexIVFPQ, or, of 4 bits a part and of hash codes with factors, in a fast-scan index.

    `delete` is safe beside searches, `upsert` is not; what was loaded takes none. centroids: of the lists (L, D); a
    single one of zeros where codes lie in none.
    """

    def __init__(self, codec: Scanned, vectors: Rows, depths: Depths) -> None:
        """An empty backend. vectors: no rows, of the kind that it is to be given."""
        super().__init__(vectors)
        self.caps = Caps(adc=True, exact_dtype="float16", max_candidates=1 << 20, distributed=False)
        self.codec, self.depths = codec, depths
        width = codec.quantizer.d
        self.centroids: F32 = codec.lists if len(codec.lists) else np.zeros((1, width), np.float32)
        parts = codec.quantizer.M if isinstance(codec, ProductCode) else 1  # others lie in one list
        self._coarse = _nearest(np.ascontiguousarray(self.centroids), parts)
        self._codes: U8 = np.empty((0, codec.code_size), np.uint8)
        self._index: Any = self._packed(np.empty(0, np.int64), np.empty((0, codec.quantizer.code_size), np.uint8), 0)
        self._whole: Any = None
        self._settled = False
        self._spread: tuple[Selected, I64] = self._living, np.zeros(self.lists, np.int64)

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return len(self.centroids)

    @property
    def codes(self) -> U8:
        """The code of every row (n, code_size), of what was loaded still on the disk."""
        return self._codes

    def upsert(self, ids: I64, codes: U8, vectors: Rows, attrs: Mapping[str, Array]) -> None:
        """Add (n,) ids with their codes (n, code_size) and vectors; an id that is there is replaced."""
        if self._settled:
            raise NotImplementedError("loaded lists take no rows: add to a delta, and publish a version")
        numbers, rest = self.codec.split(codes)
        added = self._packed(numbers, rest, len(self._ids))
        if self._index.ntotal:
            self._index.merge_from(added, 0)
        else:
            self._index = added
        self._codes = np.concatenate([self._codes, codes]) if len(self._codes) else codes
        self._append(ids, vectors)

    def _packed(self, numbers: I64, codes: U8, first: int) -> Any:
        """A FAISS index of these codes in the lists of these numbers (n,), at positions from `first` on."""
        plain = packed(self.codec.scanner(self._coarse), numbers, codes, first)
        if isinstance(plain, faiss.IndexIVFRaBitQ):
            fast: Any = faiss.IndexIVFRaBitQFastScan(plain)
            fast.qb = plain.qb
        elif plain.pq.nbits == FAST_SCAN_BITS:
            fast = faiss.IndexIVFPQFastScan(plain)
            fast.by_residual = plain.by_residual
        else:
            return plain
        fast.referenced_objects = [self._coarse]  # not `plain`, whose copy of the codes would stay in memory
        return fast

    def recall(self, q: F32, m: int, where: Filter | None = None) -> tuple[I64, F32]:
        """The m best codes in the lists nearest to each query (nq, d): ids and estimated cosines (nq, m), descending.

        More lists are looked into for an m past the measured depth, and all for one that covers everything.
        """
        selected = self._selected(where)
        ids = np.full((len(q), m), -1, np.int64)
        scores = np.full((len(q), m), -np.inf, np.float32)
        count = min(m, selected.count)
        if not count:
            return ids, scores
        asked = self.codec.asked(q)
        lists = _parameters(self._probes(q, m, selected), self._selector(selected))
        found, numbers = self._index.search(asked, count, params=lists)
        positions, there = self._mapped.positions(numbers) if self._mapped else numbers, numbers >= 0
        ids[:, :count] = np.where(there, self._ids[positions], -1)
        scores[:, :count] = np.where(there, found + (q @ self.codec.mean)[:, None], -np.inf)
        return ids, scores

    def search(self, q: F32, m: int, k: int, where: Filter | None = None) -> tuple[I64, F32]:
        """`recall` of m and `rescore` of these in one call of FAISS: ids and exact cosines (nq, k), descending."""
        mapped, selected = self._mapped, self._selected(where)
        assert mapped is not None  # as caps.whole says
        if not selected.count:
            return np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
        probes = self._probes(q, m, selected)
        selector = self._selector(selected)

        def ask(n: int) -> tuple[F32, I64]:
            deep = max(n, min(m, selected.count))
            how = _refine_parameters(probes, deep, n, selector) if selector else _plain_parameters(probes, deep, n)
            found: tuple[F32, I64] = self._whole.search(q, n, params=how)
            return found

        return self._best(mapped, ask, k, min(max(m, k), selected.count))

    def _selector(self, selected: Selected) -> Any:
        """What FAISS passes rows over by, or None."""
        if selected.selector is None or self._mapped is None:
            return selected.selector
        return self._numbered(self._mapped, selected).selector

    def probes(self, m: int) -> int:
        """Lists that a search for m candidates looks into, when every row may be found."""
        return min(self.lists, math.ceil(self.depths.probes * max(1.0, m / self.depths.candidates)))

    def reach(self, q: F32, m: int) -> int:
        """Lists that these queries (nq, d) look into for m candidates, as removals have left the lists."""
        return self._probes(q, m, self._living)

    def _probes(self, q: F32, m: int, selected: Selected) -> int:
        """Lists to look into for m candidates: as many as hold what the measured number holds of all rows."""
        if m >= selected.count:
            return self.lists
        probes = self.probes(m)
        if selected.selector is None or probes == self.lists:
            return probes
        enough = min(selected.count, math.ceil(probes * len(self._ids) / self.lists))
        nearest = np.argsort(-(self.codec.asked(q) @ self.centroids.T), axis=1)
        passed = np.cumsum(self._held(selected)[nearest], axis=1)
        return max(probes, int((passed < enough).sum(axis=1).max()) + 1)

    def _held(self, selected: Selected) -> I64:
        """How many of these rows each list holds (lists,); of the living, counted once."""
        known, held = self._spread
        if known is not selected:
            held = np.bincount(_named(self.codec, self._codes)[selected.rows] % self.lists, minlength=self.lists)
            if selected is self._living:
                self._spread = selected, held
        return held

    @classmethod
    def load(cls, folder: Path, name: str, codec: Scanned, store: EmbeddingStore, depths: Depths) -> "ListBackend":
        """Read what `write_rows` wrote. Raises ArtifactError when the store holds less."""
        backend = cls(codec, StoredRows.none(store), depths)
        ids, codes, rows = read_rows(folder, name, store)
        backend.upsert(ids, codes, rows, {})
        backend.settle()
        return backend

    def settle(self) -> None:
        """Pack the lists, and let FAISS refine what it finds in them, if it can read the rows. No row is added then."""
        self._map()
        mapped = self._mapped
        if mapped is not None:
            renumber(self._index, mapped.by_position())
        if isinstance(self._index, faiss.IndexIVFFastScan):
            pack_lists(self._index)
        self._settled = True
        if mapped is None:
            return
        turned: Any = faiss.LinearTransform(mapped.index.d, self._index.d, False)
        turned.is_trained = True
        faiss.copy_array_to_vector(self.codec.asked(np.eye(turned.d_in, dtype=np.float32)).T.ravel(), turned.A)
        self._whole = refined(faiss.IndexPreTransform(turned, self._index), mapped.index)
        self.caps = replace(self.caps, whole=True)


def packed(index: Any, numbers: I64, codes: U8, first: int = 0) -> Any:
    """The empty FAISS index with codes (n, bytes) in the lists of these numbers (n,), at positions from `first` on.

    Raises ValueError for codes of another size.
    """
    if codes.shape != (len(numbers), index.code_size):
        raise ValueError(f"codes are of {codes.shape[1:]} bytes, and these lists hold {index.code_size}")
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(index.nlist + 1))
    for number in np.flatnonzero(np.diff(bounds)).tolist():
        chosen = order[bounds[number] : bounds[number + 1]]
        positions, entries = np.ascontiguousarray(chosen + first), np.ascontiguousarray(codes[chosen])
        index.invlists.add_entries(number, len(chosen), faiss.swig_ptr(positions), faiss.swig_ptr(entries))
    index.ntotal = len(codes)
    return index


def _named(codec: Scanned, codes: U8) -> Array:
    """The list that each code (n, code_size) names, read where codes lie: only a filter asks for it."""
    if not len(codec.lists):
        return np.broadcast_to(np.uint16(0), len(codes))
    return codes[:, :LIST_BYTES].view("<u2")[:, 0]


def _parameters(probes: int, selector: Any) -> Any:
    """How FAISS is to look into lists."""
    return faiss.SearchParametersIVF(sel=selector, nprobe=probes)  # type: ignore[call-arg]


@lru_cache(maxsize=64)  # FAISS only reads them, and takes a tenth of a search to make them
def _plain_parameters(probes: int, candidates: int, k: int) -> Any:
    return _refine_parameters(probes, candidates, k, None)


def _refine_parameters(probes: int, candidates: int, k: int, selector: Any) -> Any:
    """How it is to refine so many candidates for k of them."""
    lists: Any = faiss.SearchParametersPreTransform(  # type: ignore[call-arg]
        index_params=_parameters(probes, selector)
    )
    factor = (candidates + 0.5) / k  # FAISS cuts off what is behind the point
    return faiss.IndexRefineSearchParameters(k_factor=factor, base_index_params=lists)  # type: ignore[call-arg]


def _nearest(centroids: F32, parts: int) -> Any:
    """An index of lists' centroids (L, D): of many, 4-bit codes tell which are compared themselves.

    parts: a divisor of D.
    """
    flat = flat_index(centroids)
    if len(centroids) < _NARROWED:
        return flat
    codes: Any = faiss.IndexPQFastScan(centroids.shape[1], parts, FAST_SCAN_BITS, faiss.METRIC_INNER_PRODUCT)
    codes.pq.cp.min_points_per_centroid = 1  # there are no others: FAISS would say of each part that they are few
    codes.train(centroids)
    codes.add(centroids)
    narrowed = refined(codes, flat)
    narrowed.k_factor = _KEPT
    return narrowed
