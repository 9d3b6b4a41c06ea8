"""The index: codes in FAISS, vectors on the disk, behind one contract.

Ids are catalog ids. Scores are cosines, higher is nearer; a Hamming distance h becomes 1 - h / bits only here.
Absent results are id -1.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np

from engine.filtering import Filter
from engine.mapped import MappedRows
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import F32, I32, I64, U8, Array, Bool

_EXACT_BLOCK = 16_384  # rows scored at once by an exact scan: bounds its memory
_WIDEST = 1 << 28  # a span of ids that a table of one byte each is made for: ten times as fast as sorted ids
_NOTHING: I64 = np.empty(0, np.int64)
_SPARE = 8  # answers asked for beyond those wanted: whether scores are equal where these end


@dataclass(frozen=True, slots=True)
class Caps:
    """What a backend can do. max_candidates: the deepest first stage it serves. whole: it has `search`."""

    adc: bool
    exact_dtype: str
    max_candidates: int
    distributed: bool
    whole: bool = False


class Rows(Protocol):
    """A (n, d) array that may lie on the disk: indexing reads float32 rows of unit length, `take` chooses unread ones.

    `scores` are their inner products with a query (d,); `extended` appends rows of its own kind.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, positions: I64 | slice) -> F32: ...

    def scores(self, positions: I64, query: F32) -> F32: ...

    def take(self, positions: I64) -> "Rows": ...

    def extended(self, other: Any) -> "Rows": ...


class VectorBackend(Protocol):
    """Where codes and vectors are searched. `Searcher` runs hamming -> adc (when caps.adc) -> rescore over it.

    A backend whose caps say `whole` runs them in one call too, which takes less: search(q, m, k, where), the k best by
    exact inner product of the m best codes.
    """

    caps: Caps

    def upsert(self, ids: I64, codes: U8, vectors: Rows, attrs: Mapping[str, Array]) -> None:
        """Add (n,) ids with their codes (n, bits / 8) and vectors (n, d); an id that is there is replaced."""
        ...

    def delete(self, ids: I64) -> int:
        """Remove ids; return how many were there."""
        ...

    def hamming(self, q: U8, m: int, where: Filter | None = None) -> tuple[I64, I32]:
        """The m nearest codes of each query (nq, bits / 8): ids and distances (nq, m), ascending (distance, id)."""
        ...

    def rescore(self, q: F32, candidates: I64, k: int) -> tuple[I64, F32]:
        """The k best of each query's candidates (nq, m) by exact inner product: ids and scores (nq, k), descending."""
        ...

    def exact(self, q: F32, k: int, where: Filter | None = None) -> tuple[I64, F32]:
        """The k best of all vectors: ids and scores (nq, k), descending. The ground truth."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """Rows (n,) that may be found, and how many these are. selector: FAISS's; None when every row may be found."""

    rows: Bool
    count: int
    selector: Any

    @classmethod
    def of(cls, rows: Bool) -> "Selected":
        """What FAISS needs to pass over the others."""
        count = int(np.count_nonzero(rows))
        if count == len(rows):
            return cls(rows, count, None)
        bitmap = np.packbits(rows, bitorder="little")
        return cls(rows, count, faiss.IDSelectorBitmap(bitmap))  # type: ignore[call-arg, arg-type]  # keeps the bitmap


class PlacedRows:
    """What every backend here keeps of its rows: ids by position, which of them live, and where the vectors lie."""

    def __init__(self, vectors: Rows) -> None:
        """None yet. vectors: no rows, of the kind that is to be given."""
        self._ids: I64 = np.empty(0, np.int64)
        self._living = Selected.of(np.empty(0, np.bool_))
        self._order: I64 | None = None
        self._vectors = vectors
        self._mapped: MappedRows | None = None
        self._told = self._living, self._living

    def __len__(self) -> int:
        return self._living.count

    @property
    def ids(self) -> I64:
        """The ids that can be found (n,)."""
        return self._ids[self._living.rows]

    @property
    def row_ids(self) -> I64:
        """The id of every row (n,), dead ones too. An older row of an id that was replaced is dead."""
        return self._ids

    @property
    def alive(self) -> Bool:
        """Which rows (n,) can be found; a deletion puts another array in its place."""
        return self._living.rows

    @property
    def vectors(self) -> Rows:
        """The vector of every row (n, d)."""
        return self._vectors

    def _append(self, ids: I64, vectors: Rows) -> None:
        self.delete(ids)
        self._mapped = None
        self._ids = np.concatenate([self._ids, ids]) if len(self._ids) else ids  # not a copy of what lies on the disk
        self._living = Selected.of(np.concatenate([self.alive, np.ones(len(ids), np.bool_)]))
        self._vectors = self._vectors.extended(vectors)
        ascending = bool((np.diff(self._ids) > 0).all())
        self._order = (
            None if ascending else np.argsort(self._ids, kind="stable")
        )  # 8 bytes a row, where they are needed

    def delete(self, ids: I64) -> int:
        """Remove ids; return how many were there."""
        positions = self._positions(ids)
        if not (positions >= 0).any():
            return 0
        alive, before = self.alive.copy(), len(self)
        alive[positions[positions >= 0]] = False
        self._living = Selected.of(alive)  # one assignment: a search under way keeps the array it began with
        return before - len(self)

    def _positions(self, ids: I64) -> I64:
        """The newest position of each id, or -1 where it is absent or deleted."""
        if not len(self._ids):
            return np.full(len(ids), -1, np.int64)
        if self._order is None:
            positions = np.maximum(np.searchsorted(self._ids, ids, side="right") - 1, 0)
        else:
            last = np.searchsorted(self._ids, ids, side="right", sorter=self._order) - 1
            positions = self._order[np.maximum(last, 0)]
        there = (self._ids[positions] == ids) & self.alive[positions]
        return np.where(there, positions, -1)

    def _selected(self, where: Filter | None) -> Selected:
        """Which rows may be found."""
        return self._living if where is None else Selected.of(self._allowed(where))

    def _allowed(self, where: Filter) -> Bool:
        """Which rows (n,) may be found under a filter."""
        if not len(self._ids):
            return self.alive
        if where.few(len(self._ids)):
            allowed = np.zeros(len(self._ids), np.bool_)
            allowed[self._places(where)] = True
            return allowed
        first, last = int(self._ids.min()), int(self._ids.max())
        if last - first > _WIDEST:
            return self.alive & np.isin(self._ids, where.ids)
        told = np.zeros(last - first + 1, np.bool_)
        told[where.ids[(where.ids >= first) & (where.ids <= last)] - first] = True
        return self.alive & told[self._ids - first]

    def _places(self, where: Filter | None) -> I64:
        """Positions of the rows that may be found, ascending."""
        if where is None:
            return np.flatnonzero(self.alive)
        if not where.few(len(self._ids)):
            return np.flatnonzero(self._allowed(where))
        positions = self._positions(np.unique(where.ids))
        return np.sort(positions[positions >= 0])

    @property
    def in_place(self) -> bool:
        """Whether `exact` reads rows where they lie on the disk, a hundred times as fast as to copy them first."""
        return self._mapped is not None

    def _map(self) -> None:
        """Let FAISS read the rows where they lie, if it can; until others are added."""
        self._mapped = MappedRows.of(self._vectors) if isinstance(self._vectors, StoredRows | HeldRows) else None

    def _numbered(self, mapped: MappedRows, selected: Selected) -> Selected:
        """The same rows by the numbers that FAISS knows them by; of the living, told once."""
        known, told = self._told
        if known is not selected:
            told = Selected.of(mapped.told(selected.rows))
            if selected is self._living:
                self._told = selected, told
        return told

    def _best(self, mapped: MappedRows, ask: Callable[[int], tuple[F32, I64]], k: int, there: int) -> tuple[I64, F32]:
        """What FAISS answers when asked for so many: the k best of `there`, descending, ties by the smaller id.

        It is asked for a few more: what it leaves out of equal ones that do not all fit, it does not say.
        """
        asked = min(k + _SPARE, there)
        scores, numbers = ask(asked)
        if len(scores) == 1 and asked >= k and numbers[0, -1] >= 0 and len(set(scores[0].tolist())) == asked:
            return self._ids[mapped.positions(numbers[:, :k])], scores[:, :k]  # as nearly always: in a tenth less time
        while asked < there and bool(((scores[:, k - 1] == scores[:, -1]) & (numbers[:, -1] >= 0)).any()):
            asked = min(4 * asked, there)
            scores, numbers = ask(asked)
        ids = self._ids[mapped.positions(numbers)]
        if bool((numbers < 0).any()):
            ids[numbers < 0], scores[numbers < 0] = -1, -np.inf
        if bool((scores[:, 1:] == scores[:, :-1]).any()):
            order = np.lexsort((ids, -scores), axis=1)
            ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
        if asked >= k:
            return ids[:, :k], scores[:, :k]
        pad = ((0, 0), (0, k - asked))
        return np.pad(ids, pad, constant_values=-1), np.pad(scores, pad, constant_values=-np.inf)

    def rescore(self, q: F32, candidates: I64, k: int) -> tuple[I64, F32]:
        """The k best of each query's candidates (nq, m) by exact inner product: ids and scores (nq, k), descending."""
        return self._refined(q, (self._positions(np.sort(wanted)) for wanted in candidates), k)

    def _refined(self, q: F32, found: Iterable[I64], k: int) -> tuple[I64, F32]:
        """The k best of the rows at each query's positions; -1 is none, and ascending ones are read soonest."""
        ids = np.full((len(q), k), -1, np.int64)
        scores = np.full((len(q), k), -np.inf, np.float32)
        for row, (query, positions) in enumerate(zip(q, found, strict=True)):
            positions = positions[positions >= 0]
            _fill_best(ids[row], scores[row], self._ids[positions], self._vectors.scores(positions, query))
        return ids, scores

    def exact(self, q: F32, k: int, where: Filter | None = None) -> tuple[I64, F32]:
        """The k best of all vectors: ids and scores (nq, k), descending. The ground truth."""
        mapped = self._mapped
        if mapped is not None and not (where and where.few(len(self._ids))):
            return self._scanned(mapped, q, k, self._selected(where))
        best = np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
        positions = self._places(where)
        for start in range(0, len(positions), _EXACT_BLOCK):
            block = positions[start : start + _EXACT_BLOCK]
            scores = q @ self._vectors[block].T
            ids = np.broadcast_to(self._ids[block], scores.shape)
            best = merge(best, (ids, scores), k)
        return best

    def _scanned(self, mapped: MappedRows, q: F32, k: int, selected: Selected) -> tuple[I64, F32]:
        """The k best of these rows, read in place: ids and scores (nq, k), descending."""
        if not selected.count:
            return np.full((len(q), k), -1, np.int64), np.full((len(q), k), -np.inf, np.float32)
        parameters: Any = faiss.SearchParameters(sel=self._numbered(mapped, selected).selector)  # type: ignore[call-arg]
        return self._best(mapped, lambda n: mapped.index.search(q, n, params=parameters), k, selected.count)


def write_rows(folder: Path, name: str, ids: I64, codes: U8, places: StoredRows) -> None:
    """Write (n,) ids with their codes and the places of their vectors, as files that begin with `name`."""
    np.save(folder / f"{name}.codes.npy", codes)
    np.save(folder / f"{name}.ids.npy", ids)
    np.save(folder / f"{name}.shards.npy", places.shards.astype(np.int32))
    np.save(folder / f"{name}.rows.npy", places.rows.astype(np.int32))


def read_rows(folder: Path, name: str, store: EmbeddingStore) -> tuple[I64, U8, StoredRows]:
    """What `write_rows` wrote, all but the pages that are asked for still on the disk.

    Raises ArtifactError when the store holds less.
    """
    ids, codes, shards, rows = (
        np.asarray(np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False))
        for part in ("ids", "codes", "shards", "rows")
    )
    places = StoredRows(store, shards, rows)
    places.check()
    return ids, codes, places


class FaissBackend(PlacedRows):
    """Sign codes in a FAISS IndexBinaryFlat beside rows in an embedding store or in memory, on this machine.

    Searching is safe from many threads. `delete` is safe beside searches; `upsert` is not: FAISS cannot add
    while it searches, so a Searcher adds to a copy and swaps it in.
    """

    def __init__(self, bits: int, vectors: Rows) -> None:
        """An empty backend. vectors: no rows, of the kind that it is to be given."""
        super().__init__(vectors)
        self.caps = Caps(adc=False, exact_dtype="float16", max_candidates=1 << 20, distributed=False)
        self.bits = bits
        self._index: Any = faiss.IndexBinaryFlat(bits)

    def upsert(self, ids: I64, codes: U8, vectors: Rows, attrs: Mapping[str, Array]) -> None:
        self._index.add(np.ascontiguousarray(codes))
        self._append(ids, vectors)

    def copy(self) -> "FaissBackend":
        """An independent backend with the same living rows, to add to beside searches."""
        fresh = FaissBackend(self.bits, self._vectors.take(_NOTHING))
        living = np.flatnonzero(self.alive)
        fresh.upsert(self._ids[living], self.codes[living], self._vectors.take(living), {})
        return fresh

    @property
    def codes(self) -> U8:
        """The code of every row (n, bits / 8)."""
        flat: U8 = faiss.vector_to_array(self._index.xb)
        return flat.reshape(-1, self.bits // 8)

    def hamming(self, q: U8, m: int, where: Filter | None = None) -> tuple[I64, I32]:
        selected = self._selected(where)
        count = min(m, selected.count)
        ids = np.full((len(q), m), -1, np.int64)
        distances = np.full((len(q), m), self.bits + 1, np.int32)
        if count == 0:
            return ids, distances
        parameters: Any = faiss.SearchParameters(sel=selected.selector)  # type: ignore[call-arg]
        found, positions = self._index.search(q, count, params=parameters if selected.selector else None)
        ids[:, :count] = np.where(positions >= 0, self._ids[positions], -1)
        distances[:, :count] = np.where(positions >= 0, found, self.bits + 1)
        order = np.lexsort((ids, distances), axis=1)
        return np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)

    def save(self, folder: Path, name: str) -> None:
        """Write codes, ids and places of the living rows, which a store holds, as files that begin with `name`."""
        living = np.flatnonzero(self.alive)
        places = self._vectors.take(living)
        assert isinstance(places, StoredRows)  # rows in memory are a delta's, which no one saves
        write_rows(folder, name, self._ids[living], self.codes[living], places)

    @classmethod
    def load(cls, folder: Path, name: str, bits: int, store: EmbeddingStore) -> "FaissBackend":
        """Read what `save` wrote. Raises ArtifactError when the store holds less."""
        backend = cls(bits, StoredRows.none(store))
        ids, codes, rows = read_rows(folder, name, store)
        backend.upsert(ids, codes, rows, {})
        backend._map()
        return backend


def merge(a: tuple[I64, F32], b: tuple[I64, F32], k: int) -> tuple[I64, F32]:
    """The k best of two lists of (ids, scores) by row, descending, ties by the smaller id."""
    ids = np.concatenate([a[0], b[0]], axis=1)
    scores = np.concatenate([a[1], b[1]], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)


def _fill_best(out_ids: I64, out_scores: F32, ids: I64, scores: F32) -> None:
    k = len(out_ids)
    if len(ids) > 4 * k:  # the order of the others need not be known
        there = scores >= np.partition(scores, -k)[-k]
        ids, scores = ids[there], scores[there]
    order = np.lexsort((ids, -scores))[:k]
    out_ids[: len(order)], out_scores[: len(order)] = ids[order], scores[order]


def hamming_score(distances: I32, bits: int) -> F32:
    """Distances as scores in 0..1, higher is nearer."""
    return (1 - distances / bits).astype(np.float32)


def bound_threads(threads: int) -> None:
    """FAISS's OpenMP threads. On a busy machine more can be far slower than one."""
    faiss.omp_set_num_threads(threads)
