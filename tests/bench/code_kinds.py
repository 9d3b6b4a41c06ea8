"""The codes that are compared: Rebus's, trained for vectors or for queries, and FAISS's own at the same bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import faiss
import numpy as np

from engine.codecs import Codec
from engine.codecs.hashing import ScaledHash, SignHash, drawn_rotation
from engine.types import F32, U8
from indexer.codecs.additive import train_additive
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product
from indexer.codecs.rotations import descended, itq, principal

_OPQ_ROUNDS, _OPQ_ROWS = 12, 12_000  # as Rebus's own has: FAISS's 50 rounds over 65,536 rows take many minutes
_SLOW_ROWS = 12_000  # rows that residual quantizers are trained on


@dataclass(frozen=True, slots=True)
class Lesson:
    """What codes are trained on. captions: rows, and the captions that ask for them. plain: rows that ask for rows."""

    captions: Asked
    plain: Asked

    @classmethod
    def of(cls, rows: F32, captions: F32) -> "Lesson":
        return cls(Asked.of(rows, captions), Asked.of(rows, None))

    @property
    def rows(self) -> F32:
        return self.plain.rows


@dataclass(frozen=True, slots=True)
class Coder:
    """A trained codec as functions. words: whether each byte of a code names one codeword of a codebook."""

    size: int
    encode: Callable[[F32], U8]
    decode: Callable[[U8], F32]
    words: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """owner: rebus or faiss. aim: what it is trained for. size: bytes of a code."""

    name: str
    owner: str
    aim: str
    size: int
    fit: Callable[[Lesson], Coder]


def _ours(fit: Callable[[Lesson], Codec], words: bool = False) -> Callable[[Lesson], Coder]:
    def fitted(lesson: Lesson) -> Coder:
        codec = fit(lesson)
        return Coder(codec.code_size, codec.quantize, codec.reconstruct, words)

    return fitted


def _rotation(name: str, bits: int, asked: Asked) -> F32:
    if name == "drawn":
        return drawn_rotation(asked.rows.shape[1], bits)
    if name == "PCA":
        return principal(asked.rows, bits)
    return itq(asked.rows, bits) if name == "ITQ" else descended(asked, bits)


def _sign(rotation: str, bits: int, lesson: Lesson) -> Codec:
    return SignHash.fit(lesson.rows, bits, rotation=_rotation(rotation, bits, lesson.plain))


def _scaled(rotation: str, bits: int, aim: str, lesson: Lesson) -> Codec:
    """With the identity for the expected query, a picture asks for itself: RaBitQ's estimator."""
    asked = lesson.captions if aim == "captions" else lesson.plain
    ask = asked.expected() if aim == "captions" else np.eye(lesson.rows.shape[1], dtype=np.float32)
    return ScaledHash.fit(lesson.rows, _rotation(rotation, bits, asked), ask)


def _product(size: int, aim: str, rotate: bool, lesson: Lesson) -> Codec:
    if aim == "vectors":
        return train_product(lesson.plain, size, share=0, rotate=rotate)
    return train_product(lesson.captions if aim == "captions" else lesson.plain, size, rotate=rotate)


def _additive(size: int, aim: str, lesson: Lesson) -> Codec:
    if aim == "vectors":
        return train_additive(lesson.plain, 8, size // 8, share=0, scores=0)
    return train_additive(lesson.captions if aim == "captions" else lesson.plain, 8, size // 8)


def _rebus() -> list[Compared]:
    some = [
        Compared(f"signs, {name}", "rebus", "vectors", 32, _ours(partial(_sign, name, 256)))
        for name in ("drawn", "PCA", "ITQ", "descended")
    ]
    for name, aim, bits in (
        ("drawn", "pictures", 248), ("ITQ", "pictures", 248), ("descended", "pictures", 248),
        ("drawn", "captions", 248), ("descended", "captions", 248), ("descended", "captions", 312),
    ):  # fmt: skip
        fit = _ours(partial(_scaled, name, bits, aim))
        some.append(Compared(f"signs and factor, {name}", "rebus", aim, bits // 8 + 1, fit))
    for size in (32, 40):
        for aim in ("vectors", "pictures", "captions"):
            fit = _ours(partial(_product, size, aim, True), words=True)
            some.append(Compared("OPQ", "rebus", aim, size, fit))
            some.append(Compared("additive", "rebus", aim, size, _ours(partial(_additive, size, aim), words=True)))
    drawn = _ours(partial(_product, 32, "vectors", False), words=True)
    return [*some, Compared("PQ, drawn rotation", "rebus", "vectors", 32, drawn)]


def _factory(spec: str, lesson: Lesson) -> Coder:
    rows = np.ascontiguousarray(lesson.rows)
    index: Any = faiss.index_factory(rows.shape[1], spec, faiss.METRIC_INNER_PRODUCT)
    inner: Any = faiss.downcast_index(index.index if isinstance(index, faiss.IndexPreTransform) else index)
    if hasattr(inner, "do_polysemous_training"):
        inner.do_polysemous_training = False  # it orders words for Hamming distances, and takes most of the time
    if "OPQ" in spec:
        rotation: Any = faiss.downcast_VectorTransform(index.chain.at(0))
        rotation.niter, rotation.max_train_points = _OPQ_ROUNDS, _OPQ_ROWS
        start: Any = faiss.ProductQuantizer(rotation.d_out, rotation.M, 8)
        start.cp.min_points_per_centroid = 1  # else it warns of few rows, in every round and part
        rotation.pq = start
    index.train(rows[:_SLOW_ROWS] if "RQ" in spec or "LSQ" in spec else rows)
    words = spec.endswith("x8")
    return Coder(index.sa_code_size(), index.sa_encode, index.sa_decode, words)


_FAISS = (
    ("PQ", 32, "PQ32x8"), ("OPQ", 32, "OPQ32,PQ32x8"), ("OPQ", 40, "OPQ40_280,PQ40x8"),
    ("RaBitQ", 40, "RR256,RaBitQ"), ("PCA, SQ4", 32, "PCAR64,SQ4"), ("PCA, SQ4", 40, "PCAR80,SQ4"),
    ("residual by parts", 32, "PRQ8x4x8"), ("residual by parts", 40, "PRQ8x5x8"),
    ("local search by parts", 32, "PLSQ8x4x8"), ("local search by parts", 40, "PLSQ8x5x8"),
    ("residual", 32, "RQ32x8"), ("residual", 40, "RQ40x8"),
)  # fmt: skip

COMPARED: tuple[Compared, ...] = (
    *_rebus(),
    *(Compared(f"FAISS {name}", "faiss", "vectors", size, partial(_factory, spec)) for name, size, spec in _FAISS),
)
