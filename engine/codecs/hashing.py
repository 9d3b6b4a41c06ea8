"""Hash codes: the signs of a rotation, random (sign random projection, Charikar 2002) or learned.

For unit vectors at angle t, each bit differs with probability t / pi, so the Hamming distance estimates the
angle. Items are centred on their mean first: embeddings of one modality lie in a narrow cone, and bits are
balanced only around its axis. A query is not centred: <q, x> and <q, x - mean> rank items alike.
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from engine.types import F32, I64, U8

_QUERY_BITS = 8  # of each number of a query: coarser ones are as quick to compare with signs


class SignHash:
    """`bits` signs of a (d, bits) rotation: orthonormal columns, in several blocks when bits exceed d."""

    kind: ClassVar[str] = "sign-hash"

    def __init__(self, rotation: F32, mean: F32, scale: F32) -> None:
        self.rotation, self.mean, self.scale = rotation, mean, scale

    @classmethod
    def fit(cls, x: F32, bits: int, seed: int = 0, rotation: F32 | None = None) -> Self:
        """Learn the mean and the reconstruction scale from a sample (n, d).

        The rotation (d, bits) is drawn from the seed unless a learned one is given.
        """
        if rotation is None:
            rotation = drawn_rotation(x.shape[1], bits, seed)
        mean = x.mean(0, dtype=np.float64).astype(np.float32)
        # The best scale for the reconstruction mean + scale * R sign(R'(x - mean)) in the least-squares sense.
        projected = (x - mean) @ rotation
        decoded = np.where(projected >= 0, 1, -1).astype(np.float32) @ rotation.T
        scale = np.abs(projected).sum() / max(float((decoded**2).sum()), 1e-12)
        return cls(rotation, mean, np.array([scale], np.float32))

    @property
    def code_size(self) -> int:
        return int(self.rotation.shape[1]) // 8

    def quantize(self, x: F32) -> U8:
        """Codes (n, bits / 8) of items (n, d)."""
        return self._signs(x - self.mean)

    def quantize_query(self, q: F32) -> U8:
        """Codes (n, bits / 8) of queries (n, d), to be compared with items by Hamming distance."""
        return self._signs(q)

    def reconstruct(self, codes: U8) -> F32:
        """The vectors (n, d) that the codes stand for."""
        signs = np.unpackbits(codes, axis=1).astype(np.float32) * 2 - 1
        return self.mean + self.scale * (signs @ self.rotation.T)

    def _signs(self, x: F32) -> U8:
        return np.packbits(x @ self.rotation >= 0, axis=1)

    def save(self, path: Path) -> None:
        """Write the codec as safetensors."""
        parts = {"rotation": self.rotation, "mean": self.mean, "scale": self.scale}
        save_file({name: np.ascontiguousarray(value) for name, value in parts.items()}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_file(path))


class ScaledHash:
    """Signs of a (d, bits) rotation, and a byte for the length of what they decode to.

    The byte is a factor between the two of `span`, such that the decoded vector scores with the query that is expected
    to find x (`x @ ask`, see engine.codecs.aim) as x itself does: with ask the identity, the estimator of RaBitQ (Gao
    and Long 2024), which divides by the inner product of a vector and its code. quantizer: FAISS's of such codes.
    """

    kind: ClassVar[str] = "scaled-hash"

    def __init__(self, rotation: F32, mean: F32, ask: F32, span: F32) -> None:
        self.rotation, self.mean, self.ask, self.span = rotation, mean, ask, span
        self.quantizer: Any = faiss.RaBitQuantizer(rotation.shape[1], faiss.METRIC_INNER_PRODUCT)
        self.lists: F32 = np.empty((0, self.quantizer.d), np.float32)

    @classmethod
    def fit(cls, x: F32, rotation: F32, ask: F32) -> Self:
        """Learn the mean and the factors' span from a sample (n, d)."""
        codec = cls(rotation, x.mean(0, dtype=np.float64).astype(np.float32), ask, np.array([0, 1], np.float32))
        factors = codec._factors(x, codec._signs(x))
        codec.span = np.quantile(factors, [0.002, 0.998]).astype(np.float32)
        return codec

    @property
    def code_size(self) -> int:
        return int(self.rotation.shape[1]) // 8 + 1

    def quantize(self, x: F32) -> U8:
        """Codes (n, bits / 8 + 1): the signs, then the factor's step between its bounds."""
        signs = self._signs(x)
        low, high = self.span
        steps = np.clip((self._factors(x, signs) - low) / max(high - low, 1e-12) * 255, 0, 255)
        bits = np.packbits(signs > 0, axis=1, bitorder="little")
        return np.concatenate([bits, steps.round().astype(np.uint8)[:, None]], axis=1)

    def reconstruct(self, codes: U8) -> F32:
        """The vectors (n, d) that the codes stand for."""
        signs = np.unpackbits(codes[:, :-1], axis=1, bitorder="little").astype(np.float32) * 2 - 1
        out: F32 = self.mean + self._decoded_factors(codes) * (signs @ self.rotation.T)
        return out

    def asked(self, q: F32) -> F32:
        """Queries (n, d) where the signs are, (n, bits)."""
        return np.ascontiguousarray(q @ self.rotation)

    def split(self, codes: U8) -> tuple[I64, U8]:
        """Codes (n, code_size) in the one list that there is, as FAISS's quantizer has them.

        It multiplies the inner product of a query with signs of unit length by the second of two float32 behind these;
        the first is what the centre of the list, which is zero, would add.
        """
        added = np.zeros((len(codes), 2), "<f4")
        added[:, 1:] = self._decoded_factors(codes) * np.sqrt(self.quantizer.d)
        return np.zeros(len(codes), np.int64), np.concatenate([codes[:, :-1], added.view(np.uint8)], axis=1)

    def scanner(self, coarse: Any) -> Any:
        """An empty FAISS index of inverted lists of these codes, about the centroids that `coarse` holds."""
        index: Any = faiss.IndexIVFRaBitQ(coarse, self.quantizer.d, coarse.ntotal, faiss.METRIC_INNER_PRODUCT)
        index.is_trained, index.qb = True, _QUERY_BITS
        return index

    def _decoded_factors(self, codes: U8) -> F32:
        low, high = self.span
        out: F32 = low + (high - low) * codes[:, -1:].astype(np.float32) / 255
        return out

    def _signs(self, x: F32) -> F32:
        out: F32 = np.where((x - self.mean) @ self.rotation >= 0, 1, -1).astype(np.float32)
        return out

    def _factors(self, x: F32, signs: F32) -> F32:
        """(n,): score of x with its query, over the score of what the signs decode to."""
        rest, query, decoded = x - self.mean, x @ self.ask, signs @ self.rotation.T
        fitted = np.einsum("nd,nd->n", rest, decoded) / np.maximum((decoded**2).sum(1), 1e-12)
        below = np.einsum("nd,nd->n", query, decoded)
        aimed = np.einsum("nd,nd->n", query, rest) / np.where(np.abs(below) < 1e-6, 1e-6, below)
        out: F32 = np.clip(aimed, 0.5 * fitted, 2 * fitted)
        return out

    def save(self, path: Path) -> None:
        """Write the codec as safetensors."""
        parts = {"rotation": self.rotation, "mean": self.mean, "ask": self.ask, "span": self.span}
        save_file({name: np.ascontiguousarray(value) for name, value in parts.items()}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_file(path))


def drawn_rotation(dim: int, bits: int, seed: int = 0) -> F32:
    """(dim, bits) orthonormal columns, in several blocks when bits exceed dim.

    On one thread: a factorisation asks its threads to meet thousands of times, and beside a busy encoder each waits
    for a turn of a core. Of 512 numbers that took ten seconds, on one thread 50 ms.
    """
    rng = np.random.default_rng(seed)
    with threadpool_limits(limits=1, user_api="blas"):
        blocks = [np.linalg.qr(rng.standard_normal((dim, dim)))[0] for _ in range(-(-bits // dim))]
    out: F32 = np.concatenate(blocks, axis=1)[:, :bits].astype(np.float32)
    return out
