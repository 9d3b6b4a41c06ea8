"""What answers cost: milliseconds of a query by stage, bytes of an item by modality."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, Item
from engine.errors import EncoderUnavailable
from engine.search import Searcher
from engine.store import SUFFIX
from engine.types import Modality, Query, Term
from engine.versions import Version

_TIMED = 200


def latency(
    searcher: Searcher, said: Sequence[str], captions: Sequence[int], of: Modality
) -> tuple[str, dict[str, dict[str, float]]]:
    """p50, p95 and p99 in milliseconds of each stage of text-to-image queries, one at a time, warm.

    They are asked in words; where the encoder is not there to read these, by captions that are indexed. Which it was
    ("words" or "indexed captions") comes first.
    """
    step = max(1, len(said) // _TIMED)
    words = [Term(text=text) for text in said[::step][:_TIMED] if text.strip()]
    try:
        searcher.search(Query(tuple(words[:1]), of))
        return "words", timed(searcher, words, of)
    except EncoderUnavailable:
        return "indexed captions", timed(searcher, [Term(item=int(i)) for i in captions[::step][:_TIMED]], of)


def timed(searcher: Searcher, terms: Sequence[Term], of: Modality) -> dict[str, dict[str, float]]:
    """p50, p95 and p99 in milliseconds of each stage of queries of one term, one at a time, the first one twice."""
    searcher.search(Query(tuple(terms[:1]), of))
    stages: dict[str, list[float]] = {}
    for term in terms:
        started = time.perf_counter()
        results = searcher.search(Query((term,), of))
        for stage, ms in {**results.took_ms, "total": (time.perf_counter() - started) * 1000}.items():
            stages.setdefault(stage, []).append(ms)
    return {stage: percentiles(ms) for stage, ms in stages.items()}


def percentiles(ms: Sequence[float]) -> dict[str, float]:
    """The median, the 95th and the 99th."""
    return {f"p{share}": round(float(np.percentile(ms, share)), 3) for share in (50, 95, 99)}


def modalities(catalog: Catalog, version: Version) -> dict[str, dict[str, float]]:
    """Items that are present, those that can be found, and the bytes these take, by modality."""
    query = sa.select(Item.modality, sa.func.count()).where(Item.removed_at.is_(None)).group_by(Item.modality)
    with catalog.session() as session:
        present = {str(modality): int(count) for modality, count in session.execute(query)}
    folder, found = _folder(catalog, version), {}
    for modality in Modality:
        index = version.indexes.get(modality)
        files = list(folder.glob(f"{modality}.*")) if index is not None else []
        count = len(index) if index is not None else 0
        if present.get(modality) or count:
            found[str(modality)] = {
                "items": present.get(modality, 0),
                "indexed": count,
                "index_bytes": sum(path.stat().st_size for path in files),
                "embedding_bytes": count * _row_bytes(version),
            }
    return found


def bytes_per_item(catalog: Catalog, version: Version) -> dict[str, float]:
    """Bytes on the disk an item: the version's codes and ids, and the float16 embedding for refine."""
    items = sum(len(index) for index in version.indexes.values())
    files = (path for path in _folder(catalog, version).iterdir() if path.suffix != SUFFIX)
    return {"index": round(sum(path.stat().st_size for path in files) / items, 1), "embedding": _row_bytes(version)}


def _folder(catalog: Catalog, version: Version) -> Any:
    return catalog.home / "versions" / f"{version.id:06d}"


def _row_bytes(version: Version) -> float:
    return 2.0 * (version.store.dim if version.head.is_identity else version.head.aligner.dim)
