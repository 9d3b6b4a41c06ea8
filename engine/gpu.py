"""A base index on a CUDA device: codes compared by FAISS's GpuIndexBinaryFlat, rows by torch.

The index on the processor stays the master: it takes deletions, answers what the device cannot (first stages under a
filter, or deeper than its selection goes), and is what a mirror is made from. A delta is small, and stays there alone.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import faiss
import numpy as np
import torch

from engine.devices import choose_device
from engine.errors import ConfigError
from engine.filtering import Filter
from engine.index import FaissBackend, Rows, VectorBackend
from engine.lists import ListBackend
from engine.types import F32, I32, I64, U8, Array, Bool

_DEEPEST = 2048  # what FAISS selects on a GPU
_BLOCK = 65_536  # rows moved, or compared by an exact scan, at once
_GATHERED = 1 << 17  # rows that candidates are gathered into at once
_SHARE = 0.8  # of the device's free memory that a mirror may take
_TRIALS = 5
log = logging.getLogger(__name__)


class _Codes(NamedTuple):
    """Living codes on a GPU. positions: the master's row of each (n,). resources: FAISS's, which must outlive them."""

    index: Any
    positions: I64
    resources: Any


class DeviceBackend:
    """A backend whose codes and float16 rows are also on a torch device. Searching is safe from many threads.

    Where the device is no GPU, codes stay with the master: so torch's part can be tested anywhere.
    """

    in_place = False  # `exact` reads the device's rows

    def __init__(self, master: FaissBackend, device: torch.device) -> None:
        self.master, self.device, self.caps, self.bits = master, device, master.caps, master.bits
        self._lock = threading.Lock()  # FAISS searches an index on a GPU from one thread at a time
        self._codes = _codes_on(master) if device.type == "cuda" else None
        ids = master.row_ids
        order = np.argsort(ids, kind="stable")
        self._order, self._sorted = self._put(order), self._put(ids[order])
        self._alive: tuple[Bool, torch.Tensor] = master.alive, self._put(master.alive)
        self._rows = _rows_on(master.vectors, device)

    def __len__(self) -> int:
        return len(self.master)

    @property
    def ids(self) -> I64:
        """The ids that can be found (n,)."""
        return self.master.ids

    def upsert(self, ids: I64, codes: U8, vectors: Rows, attrs: Mapping[str, Array]) -> None:
        """To the master alone: what is added is a delta's, and a mirror is of an immutable base."""
        raise NotImplementedError("a base on a device takes no rows: add to a delta, and publish a version")

    def delete(self, ids: I64) -> int:
        return self.master.delete(ids)

    def hamming(self, q: U8, m: int, where: Filter | None = None) -> tuple[I64, I32]:
        alive = self.master.alive
        if self._codes is None or where is not None or m > _DEEPEST or not alive.any():
            return self.master.hamming(q, m, where)
        with self._lock:
            if m + np.count_nonzero(~alive[self._codes.positions]) > _DEEPEST:  # the dead would crowd out the living
                self._codes = _codes_on(self.master)
            index, positions, _ = self._codes
            dead = np.count_nonzero(~alive[positions])
            distances, found = index.search(np.ascontiguousarray(q), min(m + dead, len(positions)))
        rows = positions[found]
        ids = np.where(alive[rows], self.master.row_ids[rows], -1)
        distances = np.where(alive[rows], distances, self.bits + 1).astype(np.int32)
        pad = ((0, 0), (0, max(0, m - ids.shape[1])))
        ids, distances = np.pad(ids, pad, constant_values=-1), np.pad(distances, pad, constant_values=self.bits + 1)
        order = np.lexsort((ids, distances), axis=1)[:, :m]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)

    def rescore(self, q: F32, candidates: I64, k: int) -> tuple[I64, F32]:
        wanted, queries = self._put(np.sort(candidates, axis=1)), self._put(q)  # ties by the smaller id
        at_once = max(1, _GATHERED // max(1, wanted.shape[1]))
        parts = []
        for some, query in zip(torch.split(wanted, at_once), torch.split(queries, at_once), strict=True):
            rows = self._positions(some)
            scores = torch.einsum("qmd,qd->qm", self._rows[rows.clamp(min=0)].float(), query)
            parts.append(_best(some, scores.masked_fill(rows < 0, -torch.inf), k))
        return _padded(parts, len(q), k)

    def exact(self, q: F32, k: int, where: Filter | None = None) -> tuple[I64, F32]:
        queries, row_ids = self._put(q), torch.empty_like(self._sorted)
        row_ids[self._order] = self._sorted
        allowed = self._living()
        if where is not None:
            rows = self._positions(self._put(where.ids))
            chosen = torch.zeros_like(allowed)
            chosen[rows[rows >= 0]] = True
            allowed = chosen
        ids, scores = row_ids.new_empty((len(q), 0)), queries.new_empty((len(q), 0))
        for start in range(0, len(self._rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            found = (queries @ self._rows[block].float().T).masked_fill(~allowed[block], -torch.inf)
            top = found.topk(min(k, found.shape[1]))
            ids = torch.cat([ids, row_ids[block][top.indices]], 1)
            ids, by_id = ids.sort(1)
            scores = torch.cat([scores, top.values], 1).gather(1, by_id)
            ids, scores = _best(ids, scores, k)
        return _padded([(ids, scores)], len(q), k)

    def _put(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _living(self) -> torch.Tensor:
        """Which rows live (n,), on the device: moved there again when the master has another mask."""
        known, moved = self._alive
        if known is not self.master.alive:
            known = self.master.alive
            moved = self._put(known)
            self._alive = known, moved
        return moved

    def _positions(self, ids: torch.Tensor) -> torch.Tensor:
        """The newest row of each id, or -1 where it is absent or deleted."""
        if not len(self._sorted):
            return torch.full_like(ids, -1)
        last = (torch.searchsorted(self._sorted, ids, right=True) - 1).clamp(min=0)
        rows = self._order[last]
        there = (self._sorted[last] == ids) & self._living()[rows]
        return torch.where(there, rows, -1)


def _codes_on(master: FaissBackend) -> _Codes:
    """The living codes, on the first GPU."""
    living = np.flatnonzero(master.alive)
    flat = faiss.IndexBinaryFlat(master.bits)
    flat.add(np.ascontiguousarray(master.codes[living]))
    resources: Any = faiss.StandardGpuResources()
    return _Codes(faiss.index_binary_cpu_to_gpu(resources, 0, flat), living, resources)


def _rows_on(vectors: Rows, device: torch.device) -> torch.Tensor:
    """All rows (n, d) as float16."""
    count = len(vectors)
    parts = [
        torch.from_numpy(vectors[np.arange(start, min(start + _BLOCK, count))]).half().to(device)
        for start in range(0, count, _BLOCK)
    ]
    return torch.cat(parts) if parts else torch.empty((0, 1), dtype=torch.float16, device=device)


def _best(ids: torch.Tensor, scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best of each row (nq, m), descending; of equal scores the first."""
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return ids.gather(1, order)[:, :k].where(scores[:, :k] > -torch.inf, -1), scores[:, :k]


def _padded(parts: list[tuple[torch.Tensor, torch.Tensor]], count: int, k: int) -> tuple[I64, F32]:
    ids, scores = np.full((count, k), -1, np.int64), np.full((count, k), -np.inf, np.float32)
    start = 0
    for some, at in parts:
        block = slice(start, start + len(some))
        ids[block, : some.shape[1]], scores[block, : some.shape[1]] = some.cpu().numpy(), at.cpu().numpy()
        start += len(some)
    return ids, scores


def placed(
    master: FaissBackend | ListBackend | DeviceBackend, wanted: str
) -> FaissBackend | ListBackend | DeviceBackend:
    """The backend where `search.device` wants it. auto: on the GPU, if there is one and it answers in less time here.

    Product and additive codes stay on the processor, which is said where cuda was asked for. Raises ConfigError for
    cuda without a usable GPU, or where it has no room.
    """
    if wanted == "cpu" or not len(master):
        return master
    if not isinstance(master, FaissBackend):
        if wanted == "cuda":
            log.warning("search.device is cuda, and codes in lists are searched on the processor all the same")
        return master
    device = choose_device(wanted, "search.device")
    if device.type == "cuda" and not faiss.get_num_gpus():
        if wanted == "cuda":
            raise ConfigError("this FAISS searches on no GPU: set search.device to auto or cpu, or install faiss-gpu")
        return master
    if device.type != "cuda":
        return master
    if not _fits(master, device):
        if wanted == "cuda":
            raise ConfigError("the index does not fit into the GPU's memory: set search.device to auto or cpu")
        return master
    mirror = DeviceBackend(master, device)
    if wanted == "auto" and query_ms(mirror, master, 1) > query_ms(master, master, 1):
        return master
    return mirror


def _fits(master: FaissBackend, device: torch.device) -> bool:
    """Whether a mirror fits into what is free on the device: rows, codes, and 24 bytes for ids and masks."""
    row = 2 * master.vectors[np.arange(1)].shape[1] + master.bits // 8 + 24
    free, _ = torch.cuda.mem_get_info(device)
    return bool(len(master.vectors) * row < _SHARE * free)


def query_ms(backend: VectorBackend, master: FaissBackend, batch: int, m: int = 1000) -> float:
    """Milliseconds of one query, `batch` at a time: the first stage to `m` candidates, and refine; median of five.

    The queries are rows of the master, drawn from a fixed seed.
    """
    living = np.flatnonzero(master.alive)
    took = []
    for trial in range(_TRIALS + 1):
        drawn = np.random.default_rng(trial).choice(living, batch)
        codes, queries = master.codes[drawn], master.vectors[drawn]
        began = time.perf_counter()
        candidates, _ = backend.hamming(codes, min(m, len(living)))
        backend.rescore(queries, candidates, 10)  # its answer is on the processor: what the device does is done
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took[1:])) / batch
