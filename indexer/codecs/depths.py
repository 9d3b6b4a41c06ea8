"""How deep lists must be looked into: measured on queries that no training has seen, for a wanted recall."""

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from engine.lists import Depths, ListBackend
from engine.types import F32

FIRST = 10  # recall@10 is what is wanted
_PROBES, _CANDIDATES = (4, 8, 16, 24, 32, 48, 64, 96, 128, 256), (50, 100, 150, 200, 300, 400, 600, 1000, 2000)


def choose_depths(backend: ListBackend, queries: F32, wanted: float) -> tuple[Depths, list[dict[str, Any]]]:
    """The quickest depths whose recall@10 against the exact scan is as wanted, else the deepest tried; and all tried.

    queries: (nq, d), held out. Each row tried: probes, candidates, recall and milliseconds a query.
    """
    first = min(FIRST, len(backend))
    truth, _ = backend.exact(queries, first)
    lists, before = backend.lists, backend.depths
    tried: list[dict[str, Any]] = []
    for probes in sorted({min(probes, lists) for probes in _PROBES}):
        highest = 0.0
        for candidates in (c for c in _CANDIDATES if c < len(backend) or c == _CANDIDATES[0]):
            backend.depths = Depths(probes, candidates, 0.0)
            started = time.perf_counter()
            found, _ = backend.rescore(queries, backend.recall(queries, candidates)[0], first)
            took = (time.perf_counter() - started) * 1000 / len(queries)
            recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))
            tried.append({**asdict(Depths(probes, candidates, round(recall, 4))), "ms": round(took, 4)})
            if recall >= wanted or recall - highest < 0.001:  # deeper is slower, or lists are what is lacking
                break
            highest = recall
    good = [row for row in tried if row["recall"] >= wanted]
    best = min(good, key=lambda row: row["ms"]) if good else max(tried, key=lambda row: row["recall"])
    backend.depths = before
    return replace(before, **{name: best[name] for name in ("probes", "candidates", "recall")}), tried
