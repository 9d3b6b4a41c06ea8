"""How well a library answers, on pictures held out from training: exact beside the cascade, with time and bytes."""

import time
from typing import Any

import numpy as np

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import InvalidInput, NotReady
from engine.index import Filter
from engine.search import Searcher
from engine.store import SUFFIX
from engine.types import F32, I64, Modality, Query, Term
from engine.versions import LiveIndex, Version, embeddings_after, rows_by_modality, words_of
from indexer.jobs import Tell
from indexer.metrics import recall_both_ways
from indexer.splits import Captioned, captioned, split

_TIMED, _BLOCK, _DEPTH = 200, 256, 10


def evaluate(config: Config, tell: Tell) -> dict[str, Any]:
    """Figures of the published version on the held-out pictures and their captions, as JSON values.

    exact: recall and median rank among the held-out items, over full vectors. cascade: the same through the
    index. agreement: the share of the exact first ten over the whole library that the cascade also returns.
    Recalls are fractions. Raises NotReady without a version, InvalidInput without held-out captions.
    """
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    version = searcher.version
    held_out = split(captioned(catalog, config.captions.languages[0]), config.train).held_out
    pool = _Pool(catalog, version, held_out)
    tell("exact search", 0, 3)
    exact = recall_both_ways(pool.images, pool.texts, pool.owner)
    tell("the cascade", 1, 3)
    depth = config.search.candidates
    cascade = pool.through_index(version, depth)
    agreement = {
        "text_to_image": _agreement(version.indexes[Modality.IMAGE], pool.texts, depth),
        "image_to_text": _agreement(version.indexes[Modality.TEXT], pool.images, depth),
    }
    tell("timing queries", 2, 3)
    latency = _latency(searcher, [text for picture in held_out for text in picture.texts])
    tell("timing queries", 3, 3)
    return {
        "index_version": version.id,
        "encoder": version.fingerprint,
        "head": version.head_id,
        "images": len(pool.images),
        "captions": len(pool.texts),
        "exact": exact,
        "cascade": cascade,
        "agreement_at_10": agreement,
        "candidates": depth,
        "bytes_per_item": _bytes_per_item(catalog, version),
        "latency_ms": latency,
    }


class _Pool:
    """Embeddings in the joint space of the held-out pictures and captions that are indexed."""

    def __init__(self, catalog: Catalog, version: Version, held_out: tuple[Captioned, ...]) -> None:
        groups = rows_by_modality(version.store, embeddings_after(catalog, version.encoder_id, 0, version.generation))
        place = {m: {int(i): row for row, i in enumerate(ids)} for m, (ids, _) in groups.items()}
        if version.head.texts is not None:  # it reads the words themselves: no embedding of them is needed
            place[Modality.TEXT] = {item: row for row, (item, _) in enumerate(words_of(catalog))}
        if not all(modality in place and modality in version.indexes for modality in (Modality.IMAGE, Modality.TEXT)):
            raise NotReady(
                "the version holds no captioned pictures that words find: run `rebus index` on a folder with captions, "
                "or `rebus train` where pictures alone have vectors"
            )
        kept = [picture for picture in held_out if picture.id in place[Modality.IMAGE]]
        pairs = [(n, c) for n, p in enumerate(kept) for c in p.caption_ids if c in place[Modality.TEXT]]
        if not pairs:
            raise InvalidInput("no held-out picture with a caption is indexed: run `rebus index` first")
        self.owner: I64 = np.array([n for n, _ in pairs], np.int64)
        self.image_ids: I64 = np.array([picture.id for picture in kept], np.int64)
        self.text_ids: I64 = np.array([caption for _, caption in pairs], np.int64)

        def vectors(modality: Modality, ids: I64) -> F32:
            rows = groups[modality][1][np.array([place[modality][int(i)] for i in ids], np.int64)]
            return version.head.project(rows, modality)

        self.images = vectors(Modality.IMAGE, self.image_ids)
        if version.head.texts is None:
            self.texts = vectors(Modality.TEXT, self.text_ids)
        else:
            said = {c: words for p in kept for c, words in zip(p.caption_ids, p.texts, strict=True)}
            self.texts = version.head.project_texts([said[int(caption)] for caption in self.text_ids])

    def through_index(self, version: Version, depth: int) -> dict[str, float]:
        """Recall at 1, 5 and 10 both ways when hash recall and refine do the finding."""
        to_images = _first(version.indexes[Modality.IMAGE], self.texts, depth, Filter(self.image_ids))
        to_texts = _first(version.indexes[Modality.TEXT], self.images, depth, Filter(self.text_ids))
        right_image = to_images == self.image_ids[self.owner][:, None]
        owner_of = dict(zip(self.text_ids.tolist(), self.owner.tolist(), strict=True))
        owners = np.vectorize(lambda i: owner_of.get(i, -1), otypes=[np.int64])(to_texts)
        right_text = owners == np.arange(len(self.images))[:, None]
        sides = (("t2i", right_image), ("i2t", right_text))
        return {f"{name}_r{k}": float(right[:, :k].any(1).mean()) for name, right in sides for k in (1, 5, 10)}


def _first(index: LiveIndex, queries: F32, depth: int, where: Filter | None) -> I64:
    """The ids of the cascade's first ten for each query (n, 10)."""
    parts = []
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        candidates, _ = index.recall(block, depth, where)
        parts.append(index.refine(block, candidates, _DEPTH)[0])
    return np.concatenate(parts)


def _agreement(index: LiveIndex, queries: F32, depth: int) -> float:
    chosen = queries[:: max(1, len(queries) // _TIMED)][:_TIMED]
    candidates, _ = index.recall(chosen, depth, None)
    found, (truth, best) = index.refine(chosen, candidates, _DEPTH)[1], index.exact(chosen, _DEPTH, None)
    there = truth >= 0
    worst = np.where(there, best, np.inf).min(1, keepdims=True)  # by score, so that equal vectors may change places
    return float((found >= worst - 1e-5).sum() / there.sum())


def _latency(searcher: Searcher, texts: list[str]) -> dict[str, dict[str, float]]:
    """p50 and p95 in milliseconds of each stage of text-to-image queries, one at a time, warm."""
    chosen = texts[:: max(1, len(texts) // _TIMED)][:_TIMED]
    searcher.search(Query((Term(text=chosen[0]),)))
    stages: dict[str, list[float]] = {}
    for text in chosen:
        started = time.perf_counter()
        results = searcher.search(Query((Term(text=text),)))
        for stage, ms in {**results.took_ms, "total": (time.perf_counter() - started) * 1000}.items():
            stages.setdefault(stage, []).append(ms)
    return {
        stage: {"p50": round(float(np.percentile(ms, 50)), 3), "p95": round(float(np.percentile(ms, 95)), 3)}
        for stage, ms in stages.items()
    }


def _bytes_per_item(catalog: Catalog, version: Version) -> dict[str, float]:
    """Bytes on the disk an item: the version's codes and ids, and the float16 embedding for refine."""
    items = sum(len(index) for index in version.indexes.values())
    folder = catalog.home / "versions" / f"{version.id:06d}"
    index = sum(path.stat().st_size for path in folder.iterdir() if path.suffix != SUFFIX)
    width = version.store.dim if version.head.is_identity else version.head.aligner.dim
    return {"index": round(index / items, 1), "embedding": 2.0 * width}
