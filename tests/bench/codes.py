"""Every codec beside FAISS's own at equal bytes: what it loses of vectors, of scores, and of the first ten.

Errors are root mean squares: of a decoded vector, and of its score within a query's true first hundred, less what
these have in common, for captions and for pictures as queries.
"""

import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from engine.codecs import Codec
from engine.codecs.hashing import ScaledHash, SignHash, drawn_rotation
from engine.types import F32, I64
from indexer.codecs.additive import train_additive
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product
from indexer.codecs.rotations import itq

_FIRST, _TOP = 100, 10


def codec_rows(base: F32, sample: F32, captions: F32, held: F32, pictures: F32) -> list[dict[str, Any]]:
    """One row a codec. sample, captions: to train on. held, pictures: queries that no codec has seen."""
    asked = Asked.of(sample, captions)
    itself = Asked.of(sample, None)
    judged = {"captions": (held, exact(base, held)), "pictures": (pictures, exact(base, pictures))}
    dim = base.shape[1]
    ours: dict[str, Callable[[], Codec]] = {
        "sign-hash, drawn": lambda: SignHash.fit(sample, 256),
        "sign-hash, ITQ": lambda: SignHash.fit(sample, 256, rotation=itq(sample, 256)),
        "scaled-hash, for pictures": lambda: ScaledHash.fit(sample, drawn_rotation(dim, 256), np.eye(dim, dtype="f4")),
        "scaled-hash, for captions": lambda: ScaledHash.fit(sample, drawn_rotation(dim, 256), asked.expected()),
        "product 32, plain": lambda: train_product(asked, 32, share=0),
        "product 32, for captions": lambda: train_product(asked, 32, share=0.9),
        "product 32, for pictures": lambda: train_product(itself, 32, share=0.9),
        "product 40, plain": lambda: train_product(asked, 40, share=0),
        "product 40, for captions": lambda: train_product(asked, 40, share=0.9),
        "additive 32": lambda: train_additive(asked, 8, 4),
        "additive 40": lambda: train_additive(asked, 8, 5),
    }
    rows = []
    for name, fit in ours.items():
        started = time.perf_counter()
        codec = fit()
        trained = time.perf_counter()
        codes = codec.quantize(base)
        took = {"train_s": round(trained - started, 1), "encode_s": round(time.perf_counter() - trained, 1)}
        rows.append({"codec": name, "bytes": codec.code_size, **took, **judge(base, codec.reconstruct(codes), judged)})
    for name, spec in (
        ("FAISS OPQ32x8", "OPQ32,PQ32x8"),
        ("FAISS RaBitQ", "RR256,RaBitQ"),
        ("FAISS PQ40x8", "OPQ40_240,PQ40x8"),
    ):
        started = time.perf_counter()
        index: Any = faiss.index_factory(dim, spec, faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(sample))
        trained = time.perf_counter()
        codes = index.sa_encode(base)
        took = {"train_s": round(trained - started, 1), "encode_s": round(time.perf_counter() - trained, 1)}
        rows.append(
            {"codec": name, "bytes": index.sa_code_size(), **took, **judge(base, index.sa_decode(codes), judged)}
        )
    return rows


def exact(base: F32, queries: F32) -> I64:
    """The true first hundred of each query."""
    flat = faiss.IndexFlatIP(base.shape[1])
    flat.add(np.ascontiguousarray(base))
    out: I64 = flat.search(np.ascontiguousarray(queries), _FIRST)[1]
    return out


def judge(base: F32, decoded: F32, judged: dict[str, tuple[F32, I64]]) -> dict[str, float]:
    """The errors and recalls of decoded vectors (n, d)."""
    error = base - decoded
    row = {"vector_error": round(float(np.sqrt((error**2).sum(1).mean())), 4)}
    for name, (queries, truth) in judged.items():
        misses = np.einsum("qd,qkd->qk", queries, error[truth])
        row[f"{name}_score_error"] = round(float(np.sqrt(misses.var(axis=1).mean())), 5)
        first = exact(decoded, queries)
        right = [len(np.intersect1d(a[:_TOP], b)) / _TOP for a, b in zip(truth, first, strict=True)]
        row[f"{name}_recall10_in100"] = round(float(np.mean(right)), 4)
    return row
