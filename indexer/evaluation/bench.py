"""What `rebus bench` says: how much each stage of the served index loses and costs, on the library's own vectors."""

import os
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from engine.catalog import Catalog
from engine.config import Config
from engine.filtering import Filter
from engine.gpu import DeviceBackend
from engine.search import Searcher
from engine.types import F32, I64, Modality, Term
from engine.versions import LiveIndex, Version, words_of
from indexer.evaluation.cascade import DEPTH, compare
from indexer.evaluation.costs import latency, percentiles, timed
from indexer.evaluation.memory import resident_bytes
from indexer.jobs import Tell

SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)  # of the items that a filter allows
_QUERIES, _SEARCHES, _FILTERED, _SCANNED, _BATCH = 500, 200, 50, 10, 64


def bench(config: Config, tell: Tell) -> dict[str, Any]:
    """Figures of the served version as JSON values: README's table of keys says what each is.

    Queries are vectors of the library itself: captions for pictures and pictures for captions, where their vectors can
    be compared, else items of the same kind, which find themselves. Raises NotReady without a version.
    """
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    version = searcher.version
    found = {}
    for done, (modality, index) in enumerate(version.indexes.items()):
        tell(f"measuring {modality}", done, len(version.indexes))
        if len(index):
            found[str(modality)] = _measured(searcher, version, modality, config.search.candidates)
    tell("measured", len(version.indexes), len(version.indexes))
    catalog.engine.dispose()
    return {
        "index_version": version.id,
        "head": version.head_id,
        "candidates": config.search.candidates,
        "threads": config.search.threads,
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "indexes": found,
    }


def _measured(searcher: Searcher, version: Version, modality: Modality, m: int) -> dict[str, Any]:
    index = version.indexes[modality]
    m = index.depth or m
    asked_by = _asked_by(version, modality)
    queries = drawn(version.indexes[asked_by], _QUERIES)
    best = index.exact(queries, 1, None)[0]
    compared = compare(index, queries, list(best), m)
    shares = {step["candidates"]: step["share"] for step in compared["curve"]}
    asked, searches = _searches(searcher, version, modality)
    return {
        "items": len(index),
        "delta": len(index.delta),
        "candidates": m,
        "queries": len(queries),
        "asked_by": str(asked_by),
        "recall_at_10": {
            "codes": shares[min(shares)],
            "handed_on": shares.get(m, 1.0),
            "refined": compared["agreement"],
        },
        "best_found": {"codes": compared["codes_r10"], "refined": compared["cascade_r10"]},
        "curve": compared["curve"],
        "milliseconds": _stages(index, queries, m),
        "batch_queries_per_s": _batches(index, queries, m),
        "searches": {"asked_by": asked, "milliseconds": searches},
        "filters": [_filtered(index, queries[:_FILTERED], m, share) for share in SHARES],
        "resident_bytes": round(resident_bytes(index) / len(index), 1),
        "device": str(index.base.device) if isinstance(index.base, DeviceBackend) else "cpu",
    }


def _asked_by(version: Version, wanted: Modality) -> Modality:
    """The modality whose vectors are the queries."""
    others = (Modality.TEXT, Modality.IMAGE, Modality.VIDEO)
    for other in others if wanted is not Modality.TEXT else others[1:]:
        index = version.indexes.get(other)
        if other is not wanted and index is not None and len(index) and version.head.compares(other, wanted):
            return other
    return wanted


def drawn(index: LiveIndex, count: int) -> F32:
    """Some vectors of an index (n, d), the same every time."""
    base = index.base.master if isinstance(index.base, DeviceBackend) else index.base
    backend = base if len(base) else index.delta
    living = np.flatnonzero(backend.alive)
    chosen = np.random.default_rng(0).permutation(len(living))[:count]
    return backend.vectors[np.sort(living[chosen])]


def _stages(index: LiveIndex, queries: F32, m: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each stage, one query at a time, and of the exact scan that they stand for.

    total: of both, in one call where the index has one.
    """
    took: dict[str, list[float]] = {"recall": [], "refine": [], "total": [], "exact": []}
    for query in (queries[:1], *np.split(queries, len(queries))):  # the first one twice: it warms
        recall, (candidates, _) = _clocked(partial(index.recall, query, m, None))
        refine, _ = _clocked(partial(index.refine, query, candidates, DEPTH))
        total = _clocked(partial(index.search, query, m, DEPTH, None))[0] if index.whole else recall + refine
        for stage, ms in (("recall", recall), ("refine", refine), ("total", total)):
            took[stage].append(ms)
    for query in np.split(queries, len(queries))[:_SCANNED]:
        took["exact"].append(_clocked(partial(index.exact, query, DEPTH, None))[0])
    return {stage: percentiles(ms[1:] or ms) for stage, ms in took.items()}


def _batches(index: LiveIndex, queries: F32, m: int) -> float:
    """Queries a second through both stages, many at a time."""
    began = time.perf_counter()
    for start in range(0, len(queries), _BATCH):
        index.search(queries[start : start + _BATCH], m, DEPTH, None)
    return round(len(queries) / (time.perf_counter() - began), 1)


def _filtered(index: LiveIndex, queries: F32, m: int, share: float) -> dict[str, float]:
    """Recall at 10 and milliseconds under a filter that allows a share of the ids, drawn at random."""
    ids = np.random.default_rng(1).permutation(index.ids)[: max(1, round(share * len(index)))]
    where = Filter(np.sort(ids)) if share < 1 else None
    scan = index.scan_pays(where, m)
    exact, scores = index.exact(queries, DEPTH, where)
    worst = np.where(exact >= 0, scores, np.inf).min(axis=1)
    same, took = 0, []
    for number, query in enumerate(np.split(queries, len(queries))):
        ms, (found, at) = _clocked(partial(_find, index, query, m, where, scan))
        same += min(int((at[found >= 0] >= worst[number] - 1e-5).sum()), int((exact[number] >= 0).sum()))
        took.append(ms)
    return {"share": share, "allowed": len(ids), "recall_at_10": same / int((exact >= 0).sum()), **percentiles(took)}


def _find(index: LiveIndex, query: F32, m: int, where: Filter | None, scan: bool) -> tuple[I64, F32]:
    if scan:
        return index.exact(query, DEPTH, where)
    return index.search(query, m, DEPTH, where)


def _searches(searcher: Searcher, version: Version, modality: Modality) -> tuple[str, dict[str, dict[str, float]]]:
    """Whole searches, the encoder's and the catalog's part included: in words, else by items."""
    reads = version.head.reads_words and version.head.compares(Modality.TEXT, modality)
    words = words_of(searcher.catalog) if reads else []
    captions = version.indexes.get(Modality.TEXT)
    if words and captions is not None and len(captions):
        there = set(captions.ids.tolist())
        words = [(item, text) for item, text in words if item in there and text.strip()] or words
        return latency(searcher, [text for _, text in words], [item for item, _ in words], modality)
    items = np.random.default_rng(0).permutation(version.indexes[modality].ids)[:_SEARCHES]
    return "items", timed(searcher, [Term(item=int(item)) for item in items], modality)


def _clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return (time.perf_counter() - began) * 1000, result
