"""A base index on a CUDA device: codes compared by FAISS, as `device_codes` puts them there, rows by torch.

The index on the processor stays the master: it takes deletions, answers what the device cannot (first stages under a
filter, or that look deeper or into more lists than it selects), and is what a mirror is made from. A delta is small,
and stays there alone.
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import faiss
import numpy as np
import torch

from engine.codecs import Scanned
from engine.device_codes import DEEPEST, SCRATCH, codes_on, unfit
from engine.devices import choose_device
from engine.errors import ConfigError
from engine.filtering import Filter
from engine.index import FaissBackend, Rows
from engine.lists import ListBackend
from engine.types import F32, I32, I64, U8, Array, Bool

_BLOCK = 65_536  # rows moved, or compared by an exact scan, at once
_GATHERED = 1 << 17  # rows that candidates are gathered into at once
_SHARE = 0.8  # of the device's free memory that a mirror may take
_TRIALS = 5
log = logging.getLogger(__name__)


Master = TypeVar("Master", FaissBackend, ListBackend)


class DeviceBackend(Generic[Master]):
    """A backend whose codes and float16 rows are also on a torch device. Searching is safe from many threads.

    master: the index on the processor.
    """

    in_place = False  # `exact` reads the device's rows

    def __init__(self, master: Master, device: torch.device) -> None:
        self.master: Master = master
        self.device, self.caps = device, replace(master.caps, whole=False)
        ids = master.row_ids
        order = np.argsort(ids, kind="stable")
        self._order, self._sorted = self._put(order), self._put(ids[order])
        self._alive: tuple[Bool, torch.Tensor] = master.alive, self._put(master.alive)
        self._rows = _rows_on(master.vectors, device)
        self._lock = threading.Lock()  # FAISS searches an index on a GPU from one thread at a time
        self._codes = codes_on(master, device)

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

    def _selects(self, m: int) -> bool:
        """Whether the device selects as many as m of the living."""
        return m <= DEEPEST and bool(self.master.alive.any())

    def _first(self, asked: Array, m: int, parameters: Any = None) -> tuple[I64, Array]:
        """Ids of the first stage (nq, at least m) and what FAISS says of each; -1 for none, the dead among them."""
        alive = self.master.alive
        with self._lock:
            if m + np.count_nonzero(~alive[self._codes.positions]) > DEEPEST:  # the dead would crowd out the living
                self._codes = codes_on(self.master, self.device)
            index, positions, _ = self._codes
            dead = int(np.count_nonzero(~alive[positions]))
            said, found = index.search(np.ascontiguousarray(asked), min(m + dead, len(positions)), params=parameters)
        rows = positions[found]
        pad = ((0, 0), (0, max(0, m - found.shape[1])))
        ids = np.where((found >= 0) & alive[rows], self.master.row_ids[rows], -1)
        return np.pad(ids, pad, constant_values=-1), np.pad(said, pad)

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


class DeviceHashes(DeviceBackend[FaissBackend]):
    """Hash codes on a device."""

    @property
    def bits(self) -> int:
        return self.master.bits

    def hamming(self, q: U8, m: int, where: Filter | None = None) -> tuple[I64, I32]:
        if where is not None or not self._selects(m):
            return self.master.hamming(q, m, where)
        ids, said = self._first(q, m)
        distances = np.where(ids >= 0, said, self.bits + 1).astype(np.int32)
        order = np.lexsort((ids, distances), axis=1)[:, :m]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(distances, order, 1)


class DeviceLists(DeviceBackend[ListBackend]):
    """Product or additive codes on a device, in lists or in one."""

    @property
    def codec(self) -> Scanned:
        return self.master.codec

    @property
    def lists(self) -> int:
        """How many lists there are."""
        return self.master.lists

    def probes(self, m: int) -> int:
        """Lists that a search for m candidates looks into, when every row may be found."""
        return self.master.probes(m)

    def recall(self, q: F32, m: int, where: Filter | None = None) -> tuple[I64, F32]:
        """As that of the master, whose tables are coarser where its codes are of 4 bits a part."""
        probes = self.master.reach(q, m) if where is None and self._selects(m) else DEEPEST + 1
        if probes > DEEPEST:
            return self.master.recall(q, m, where)
        parameters: Any = faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
        ids, said = self._first(self.codec.asked(q), m, parameters)
        scores = np.where(ids >= 0, said + (q @ self.codec.mean)[:, None], -np.inf).astype(np.float32)
        order = np.lexsort((ids, -scores), axis=1)[:, :m]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)


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


Base = FaissBackend | ListBackend | DeviceHashes | DeviceLists


def mirrored(master: FaissBackend | ListBackend, device: torch.device) -> DeviceHashes | DeviceLists:
    """The backend on a device. Raises RuntimeError, torch's or FAISS's, where that cannot be."""
    return DeviceHashes(master, device) if isinstance(master, FaissBackend) else DeviceLists(master, device)


def placed(master: Base, wanted: str) -> Base:
    """The backend where `search.device` wants it. auto: on the GPU, if there is one and it answers in less time here.

    Codes of a length that FAISS has no kernel for stay on the processor, which is said where cuda was asked for. Raises
    ConfigError for cuda without a usable GPU, or where it has no room.
    """
    if wanted == "cpu" or not len(master) or isinstance(master, DeviceBackend):
        return master
    device = choose_device(wanted, "search.device")
    if device.type != "cuda":
        return master
    refused, reason = _refused(master, device), None if isinstance(master, FaissBackend) else unfit(master.codec)
    if refused is not None and wanted == "cuda":
        raise ConfigError(f"{refused}: set search.device to auto or cpu")
    if reason is not None and wanted == "cuda":
        log.warning("search.device is cuda, and the processor searches these codes all the same: %s", reason)
    if refused is not None or reason is not None:
        return master
    try:
        mirror = mirrored(master, device)
    except RuntimeError as error:  # torch's and FAISS's, of memory that another program took meanwhile
        if wanted == "cuda":
            raise ConfigError(
                f"the index cannot be put on the GPU ({error}): free it, or set search.device to auto or cpu"
            ) from None
        log.warning("the processor searches: the index cannot be put on the GPU (%s)", error)
        return master
    if wanted == "auto" and query_ms(mirror, 1) > query_ms(master, 1):
        return master
    return mirror


def _refused(master: FaissBackend | ListBackend, device: torch.device) -> str | None:
    """Why no index of this size can be searched on the GPU, or None."""
    if not faiss.get_num_gpus():
        return "this FAISS searches on no GPU, as faiss-gpu does"
    free, _ = torch.cuda.mem_get_info(device)
    return None if mirror_bytes(master) < _SHARE * free else "the index does not fit into the GPU's memory"


def mirror_bytes(master: FaissBackend | ListBackend) -> int:
    """What a mirror takes of a device: rows, codes, 32 bytes for ids, places and masks, and what FAISS works in."""
    row = 2 * master.vectors[np.arange(1)].shape[1] + master.codes.shape[1] + 32
    return int(len(master.vectors) * row + SCRATCH)


def query_ms(backend: Base, batch: int, m: int = 1000) -> float:
    """Milliseconds of one query, `batch` at a time, from codes to the first ten, as a search asks; median of five.

    m: candidates of hash codes; lists have a depth of their own. The queries are rows of the master, drawn from a fixed
    seed.
    """
    master = backend.master if isinstance(backend, DeviceBackend) else backend
    living = np.flatnonzero(master.alive)
    deep = min(len(living), master.depths.candidates if isinstance(master, ListBackend) else m)
    took = []
    for trial in range(_TRIALS + 1):
        drawn = np.random.default_rng(trial).choice(living, batch)
        codes, queries = master.codes[drawn], master.vectors[drawn]
        began = time.perf_counter()
        _ask(backend, codes, queries, deep)  # its answer is on the processor: what the device does is done
        took.append(time.perf_counter() - began)
    return 1000 * float(np.median(took[1:])) / batch


def _ask(backend: Base, codes: U8, queries: F32, m: int) -> None:
    if isinstance(backend, ListBackend) and backend.caps.whole:
        backend.search(queries, m, 10)
    elif isinstance(backend, FaissBackend | DeviceHashes):
        backend.rescore(queries, backend.hamming(codes, m)[0], 10)
    else:
        backend.rescore(queries, backend.recall(queries, m)[0], 10)
