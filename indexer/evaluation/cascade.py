"""What the index loses against full vectors, and where: recall by codes, then refine."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.filtering import Filter
from engine.types import F32, I64, Bool, Modality
from engine.versions import LiveIndex, Version
from indexer.evaluation.quality import Measured
from indexer.heads.stored_pairs import StoredPairs

DEPTH = 10
_QUERIES, _BLOCK, _DEEPER = 500, 64, 4


def through_index(version: Version, pairs: StoredPairs, measured: Measured, of: Modality, m: int) -> dict[str, float]:
    """Recall at 1, 5 and 10 both ways among the held-out items, when hash recall and refine do the finding."""
    to_images = _first(version.indexes[of], measured.texts, m, Filter(pairs.pictures))
    to_texts = _first(version.indexes[Modality.TEXT], measured.images, m, Filter(pairs.captions))
    right_image = to_images == pairs.pictures[pairs.owner][:, None]
    order = np.argsort(pairs.captions)
    place = np.minimum(np.searchsorted(pairs.captions[order], to_texts), len(order) - 1)
    there = pairs.captions[order][place] == to_texts
    right_text = there & (pairs.owner[order][place] == np.arange(len(measured.images))[:, None])
    sides = (("t2i", right_image), ("i2t", right_text))
    return {f"{name}_r{k}": float(right[:, :k].any(axis=1).mean()) for name, right in sides for k in (1, 5, 10)}


def _first(index: LiveIndex, queries: F32, m: int, where: Filter) -> I64:
    """The ids of the cascade's first ten for each query (n, 10)."""
    m = index.depth or m
    if len(where.ids) <= m:  # all are handed on, so refine is the exact scan, which reads each vector once a block
        return np.concatenate([index.exact(block, DEPTH, where)[0] for block in _blocks(queries)])
    return np.concatenate([index.search(block, m, DEPTH, where)[0] for block in _blocks(queries)])


def compare(index: LiveIndex, queries: F32, right: list[I64], m: int) -> dict[str, Any]:
    """The cascade beside the exact scan of a whole index, for queries (n, d), each with the ids that answer it.

    agreement: the share of the exact first ten that the cascade returns too. exact_r10, codes_r10, cascade_r10:
    queries whose right item is among the first ten by full vectors, by codes alone, by both stages; handed_on: is among
    the m candidates. curve: the share of the exact first ten among the first c candidates, for growing c.
    """
    chosen = np.arange(len(queries))[:: max(1, -(-len(queries) // _QUERIES))]
    deepest = min(_DEEPER * m, max(1, len(index)))
    depths = [c for c in _steps(deepest) if c != m] + [m] * (m <= deepest)
    found: dict[str, list[Bool]] = {name: [] for name in ("exact_r10", "codes_r10", "cascade_r10", "handed_on")}
    agreed, shared, there = 0, dict.fromkeys(sorted(depths), 0), 0
    for rows in _blocks(chosen):
        q, answers = queries[rows], [right[row] for row in rows]
        candidates, _ = index.recall(q, max(deepest, m), None)
        truth, best = index.exact(q, DEPTH, None)
        ids, scores = index.refine(q, candidates[:, :m], DEPTH)
        known = truth >= 0
        worst = np.where(known, best, np.inf).min(axis=1, keepdims=True)  # by score: equal vectors may change places
        agreed += int((scores >= worst - 1e-5).sum())
        there += int(known.sum())
        for c in shared:
            shared[c] += sum(
                int(np.isin(a[k], b).sum()) for a, k, b in zip(truth, known, candidates[:, :c], strict=True)
            )
        lists = (truth, candidates[:, :DEPTH], ids, candidates[:, :m])
        for name, listed in zip(found, lists, strict=True):
            found[name].append(np.array([np.isin(a, b).any() for a, b in zip(answers, listed, strict=True)]))
    return {
        "queries": len(chosen),
        "agreement": min(1.0, agreed / there),
        **{name: float(np.concatenate(parts).mean()) for name, parts in found.items()},
        "curve": [{"candidates": c, "share": count / there} for c, count in shared.items()],
    }


def answers(pairs: dict[str, StoredPairs], language: str) -> tuple[list[I64], list[I64]]:
    """The ids that answer each text of a language, and each of its pictures: captions in any language do."""
    own = pairs[language]
    said = np.concatenate([some.captions for some in pairs.values()])
    of = np.concatenate([some.pictures[some.owner] for some in pairs.values()])
    order = np.argsort(of, kind="stable")
    begins = np.searchsorted(of[order], own.pictures)
    ends = np.searchsorted(of[order], own.pictures, side="right")
    return [own.pictures[[n]] for n in own.owner], [said[order][a:b] for a, b in zip(begins, ends, strict=True)]


def _steps(most: int) -> list[int]:
    """10, 20, 50, 100 and so on, up to and with the most."""
    steps = [step * 10**power for power in range(1, 8) for step in (1, 2, 5)]
    return [step for step in steps if step < most] + [most]


def _blocks(values: Any) -> Iterator[Any]:
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK]
