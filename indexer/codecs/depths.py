"""How deep codes must be looked into: measured on queries that no training has seen, for a wanted recall."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from engine.codecs.hashing import SignHash
from engine.index import FaissBackend
from engine.lists import Depths, ListBackend
from engine.types import F32, I64

FIRST = 10  # recall@10 is what is wanted
_PROBES, _CANDIDATES = (4, 8, 16, 24, 32, 48, 64, 96, 128, 256), (50, 100, 150, 200, 300, 400, 600, 1000, 2000)
_HASHED = (100, 250, 500, 1000, 2000, 4000, 8000, 16000)
_LEAST = 0.001  # recall that must be gained for deeper ones to be tried
Tried = list[dict[str, Any]]


def choose_depths(backend: ListBackend, queries: F32, wanted: float) -> tuple[Depths, Tried]:
    """The quickest depths whose recall@10 against the exact scan is as wanted, else the deepest tried; and all tried.

    queries: (nq, d), held out. Each row tried: probes, candidates, recall and milliseconds a query.
    """
    before, truth = backend.depths, _truth(backend, queries)
    steps = [step for step in _CANDIDATES if step < len(backend)] or _CANDIDATES[:1]
    tried: Tried = []
    for probes in sorted({min(probes, backend.lists) for probes in _PROBES}):

        def find(query: F32, candidates: int, k: int, probes: int = probes) -> I64:
            backend.depths = Depths(probes, candidates, 0.0)
            if backend.caps.whole:
                return backend.search(query, candidates, k)[0]
            return backend.rescore(query, backend.recall(query, candidates)[0], k)[0]

        tried += _deeper(backend, find, probes, steps, queries, truth, wanted)
    backend.depths = before
    return _best(tried, wanted, before), tried


def choose_candidates(backend: FaissBackend, codec: SignHash, queries: F32, wanted: float) -> tuple[Depths, Tried]:
    """As `choose_depths`, for hash codes: there is one list, which is always read whole.

    Where the deepest step is past the last of them, all are handed on at the end, which finds all.
    """
    steps = sorted({min(step, max(len(backend), _HASHED[0])) for step in _HASHED})

    def find(query: F32, candidates: int, k: int) -> I64:
        return backend.rescore(query, backend.hamming(codec.quantize_query(query), candidates)[0], k)[0]

    tried = _deeper(backend, find, 1, steps, queries, _truth(backend, queries), wanted)
    return _best(tried, wanted, Depths(1, FIRST, 0.0)), tried


def _truth(backend: ListBackend | FaissBackend, queries: F32) -> I64:
    return backend.exact(queries, min(FIRST, len(backend)))[0]


def _deeper(
    backend: ListBackend | FaissBackend, find: Callable[[F32, int, int], I64], probes: int, steps: Sequence[int],
    queries: F32, truth: I64, wanted: float,
) -> Tried:  # fmt: skip
    """Ever more candidates, one query at a time as a search asks, until they are enough or not what is lacking."""
    tried: Tried = []
    highest, first = 0.0, truth.shape[1]
    for candidates in steps:
        started, found = time.perf_counter(), []
        for query in np.split(queries, len(queries)):
            found.append(find(query, candidates, first)[0])
        took = (time.perf_counter() - started) * 1000 / len(queries)
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))
        depths = Depths(probes, candidates, round(recall, 4))
        tried.append({**asdict(depths), "ms": round(took, 4)})
        if recall >= wanted or recall - highest < _LEAST:
            break
        highest = recall
    return tried


def _best(tried: Tried, wanted: float, like: Depths) -> Depths:
    good = [row for row in tried if row["recall"] >= wanted]
    best = min(good, key=lambda row: row["ms"]) if good else max(tried, key=lambda row: row["recall"])
    return replace(like, **{name: best[name] for name in ("probes", "candidates", "recall")})
