"""Product codes: a rotated vector cut into M parts, each named by the nearest of its own centroids.

Jegou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", 2011; the rotation is that of Ge et al.,
"Optimized Product Quantization", 2013. With lists, a vector is coded as its nearest list's centroid and what is left
(residual coding), and the code begins with the list's number: the form that FAISS calls `sa_codes` of inverted lists.
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np
from safetensors.numpy import load_file, save_file

from engine.codecs.aim import aimed
from engine.types import F32, I64, U8

LIST_BYTES = 2
_BLOCK = 1 << 14
_QUICK = (1, 2, 4, 8)  # widths of a part that FAISS has code of its own for: of 3, it takes three times as long as of 4


class ProductCode:
    """mean: (d,), of what is coded. rotation: (d, D), orthonormal rows, D >= d a multiple of M.

    centroids: (M, K, D / M), K 16 or 256. lists: (L, D) centroids of inverted lists, all of one length, or (0, D).
    ask: (d, d), x @ ask is the query expected to find x. share: (1,), of its score that a code aims at; 0 for codes
    that are nearest, whatever they score.
    """

    kind: ClassVar[str] = "product"

    def __init__(self, mean: F32, rotation: F32, centroids: F32, lists: F32, ask: F32, share: F32) -> None:
        self.mean, self.rotation, self.lists = mean, rotation, lists
        self.centroids, self.ask, self.share = centroids, ask, share
        self.quantizer = _quantizer(centroids)
        self._widened = _widened(centroids, self.quantizer)
        self._prefix = LIST_BYTES if len(lists) else 0

    @property
    def code_size(self) -> int:
        return self._prefix + int(self.quantizer.code_size)

    def asked(self, q: F32) -> F32:
        """Queries, or rows less their mean, (n, d), where the centroids lie, (n, D): inner products stay."""
        return np.ascontiguousarray(q @ self.rotation)

    def quantize(self, x: F32) -> U8:
        parts = [self._quantize(x[start : start + _BLOCK]) for start in range(0, len(x), _BLOCK)]
        return np.concatenate(parts) if parts else np.empty((0, self.code_size), np.uint8)

    def _quantize(self, x: F32) -> U8:
        y = self.asked(x - self.mean)
        places = self.nearest_lists(y)
        base = self.lists[places] if len(self.lists) else np.zeros_like(y)
        rest = y - base
        if self.share[0] > 0:
            ask = self.asked(x @ self.ask)
            wanted = self.share[0] * np.einsum("nd,nd->n", ask, rest)
            codes = aimed(rest, ask, wanted, self._encode, self.quantizer.decode)
        else:
            codes = self._encode(rest)
        if not len(self.lists):
            return codes
        prefix = places.astype("<u2")[:, None].view(np.uint8)
        return np.concatenate([prefix, codes], axis=1)

    def _encode(self, y: F32) -> U8:
        width, wide = self.quantizer.dsub, self._widened.dsub
        if wide != width:
            parts = np.zeros((len(y), self.quantizer.M, wide), np.float32)
            parts[:, :, :width] = y.reshape(len(y), -1, width)
            y = parts.reshape(len(y), -1)
        codes: U8 = self._widened.compute_codes(np.ascontiguousarray(y))
        return codes

    def nearest_lists(self, y: F32) -> I64:
        """The list of each rotated row (n, D): (n,); zeros when there are none."""
        if not len(self.lists):
            return np.zeros(len(y), np.int64)
        out: I64 = np.argmax(y @ self.lists.T, axis=1)  # centroids of one length: the largest product is the nearest
        return out

    def split(self, codes: U8) -> tuple[I64, U8]:
        """Codes (n, code_size) as lists' numbers (n,) and what is left (n, M bytes or M / 2)."""
        if not len(self.lists):
            return np.zeros(len(codes), np.int64), np.ascontiguousarray(codes)
        numbers = np.ascontiguousarray(codes[:, :LIST_BYTES]).view("<u2")[:, 0].astype(np.int64)
        return numbers % len(self.lists), np.ascontiguousarray(codes[:, LIST_BYTES:])

    def scanner(self, coarse: Any) -> Any:
        """An empty FAISS index of inverted lists of these codes, about the centroids that `coarse` holds."""
        return product_lists(self.quantizer, coarse, residual=len(self.lists) > 0)

    def reconstruct(self, codes: U8) -> F32:
        places, rest = self.split(codes)
        y = self.quantizer.decode(rest) if len(rest) else np.empty((0, self.rotation.shape[1]), np.float32)
        if len(self.lists):
            y = y + self.lists[places]
        out: F32 = self.mean + y @ self.rotation.T
        return out

    def save(self, path: Path) -> None:
        """Write the codec as safetensors."""
        names = ("mean", "rotation", "centroids", "lists", "ask", "share")
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in names}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_file(path))


def product_lists(quantizer: Any, coarse: Any, *, residual: bool) -> Any:
    """An empty FAISS IndexIVFPQ. residual: whether a code is what its list's centroid leaves."""
    index: Any = faiss.IndexIVFPQ(
        coarse, quantizer.d, coarse.ntotal, quantizer.M, quantizer.nbits, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual, index.is_trained = residual, True
    index.pq = quantizer
    return index


def paired(quantizer: Any) -> Any:
    """The product quantizer of 8 bits a part whose codes are those of this one, of 4 bits, byte for byte.

    Two neighbouring parts, the first in the low half of a byte, are one of twice the width, whose 256 words are all
    pairs of theirs. One of 8 bits is its own. The number of parts is even.
    """
    if quantizer.nbits == 8:
        return quantizer
    words = faiss.vector_to_array(quantizer.centroids).reshape(quantizer.M // 2, 2, 16, quantizer.dsub)
    byte = np.arange(256)
    return _quantizer(np.concatenate([words[:, 0, byte & 15], words[:, 1, byte >> 4]], axis=2))


def _quantizer(centroids: F32) -> Any:
    """FAISS's product quantizer of these centroids (M, K, width)."""
    parts, count, width = centroids.shape
    quantizer: Any = faiss.ProductQuantizer(parts * width, parts, int(count).bit_length() - 1)
    faiss.copy_array_to_vector(np.ascontiguousarray(centroids).ravel(), quantizer.centroids)
    return quantizer


def _widened(centroids: F32, own: Any) -> Any:
    """One of a quick width, for rows whose parts end in zeros as its own do: distances change by rounding alone.

    It is `own`, the quantizer of these centroids, where their width is quick, or wider than all that are.
    """
    width = centroids.shape[2]
    wide = next((quick for quick in _QUICK if quick >= width), width)
    return own if wide == width else _quantizer(np.pad(centroids, ((0, 0), (0, 0), (0, wide - width))))
