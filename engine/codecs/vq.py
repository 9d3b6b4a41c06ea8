"""Additive codes: a vector as the sum of one codeword of each codebook, each chosen for what the ones before left.

Residual quantization (Chen et al. 2010) by groups of dimensions; the inner product with a query is a sum of looked-up
numbers, as with product codes, whose depth is 1. The codebooks are trained as those of a VQ-VAE (van den Oord et al.
2017), whose encoder and decoder are the linear maps `into` and `back`.
"""

from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np
from safetensors.numpy import load_file, save_file

from engine.codecs.aim import aimed
from engine.codecs.pq import product_lists
from engine.types import F32, I64, U8

_BLOCK = 1 << 12


class AdditiveCode:
    """mean: (d,). into: (d, D), back: (D, d). codebooks: (G, L, 256, D / G): L levels of each of G groups.

    ask and share are those of ProductCode. quantizer: the product quantizer whose parts are all levels of all groups,
    for FAISS to scan: a group's query is asked of each of its levels. restarted: how many codewords no row chose in
    training, and were set anew; of what was loaded, the version's manifest tells.
    """

    kind: ClassVar[str] = "additive"

    def __init__(self, mean: F32, into: F32, back: F32, codebooks: F32, ask: F32, share: F32) -> None:
        self.mean, self.into, self.back, self.codebooks = mean, into, back, codebooks
        self.ask, self.share, self.restarted = ask, share, 0
        self._halves: F32 = (codebooks**2).sum(-1) / 2
        groups, levels, words, width = codebooks.shape
        self.quantizer: Any = faiss.ProductQuantizer(groups * levels * width, groups * levels, words.bit_length() - 1)
        faiss.copy_array_to_vector(np.ascontiguousarray(codebooks).ravel(), self.quantizer.centroids)
        self.lists: F32 = np.empty((0, self.quantizer.d), np.float32)

    @property
    def code_size(self) -> int:
        return int(self.codebooks.shape[0] * self.codebooks.shape[1])

    def quantize(self, x: F32) -> U8:
        parts = [self._quantize(x[start : start + _BLOCK]) for start in range(0, len(x), _BLOCK)]
        return np.concatenate(parts) if parts else np.empty((0, self.code_size), np.uint8)

    def _quantize(self, x: F32) -> U8:
        y: F32 = np.asarray((x - self.mean) @ self.into, np.float32)
        if self.share[0] <= 0:
            return self._encode(y)
        ask: F32 = x @ self.ask
        wanted: F32 = self.share[0] * np.einsum("nd,nd->n", ask, x - self.mean)
        return aimed(y, np.asarray(ask @ self.back.T), wanted, self._encode, self._decode)

    def _encode(self, y: F32) -> U8:
        groups, levels, _, width = self.codebooks.shape
        codes = np.empty((len(y), groups, levels), np.uint8)
        for group in range(groups):
            rest = y[:, group * width : (group + 1) * width].copy()
            for level in range(levels):
                book = self.codebooks[group, level]
                chosen = np.argmax(rest @ book.T - self._halves[group, level], axis=1)
                codes[:, group, level] = chosen
                rest -= book[chosen]
        return codes.reshape(len(y), groups * levels)

    def _decode(self, codes: U8) -> F32:
        groups, levels, _, width = self.codebooks.shape
        chosen = codes.reshape(len(codes), groups, levels)
        y = np.zeros((len(codes), groups, width), np.float32)
        for group in range(groups):
            for level in range(levels):
                y[:, group] += self.codebooks[group, level][chosen[:, group, level]]
        return y.reshape(len(codes), groups * width)

    def reconstruct(self, codes: U8) -> F32:
        out: F32 = self.mean + self._decode(codes) @ self.back
        return out

    def asked(self, q: F32) -> F32:
        """Queries (n, d) as `quantizer` takes them: inner products with its centroids add up to those with the rest."""
        groups, levels, _, width = self.codebooks.shape
        parts = (q @ self.back.T).reshape(len(q), groups, 1, width)
        return np.ascontiguousarray(np.repeat(parts, levels, axis=2).reshape(len(q), -1), np.float32)

    def split(self, codes: U8) -> tuple[I64, U8]:
        """Codes (n, code_size) in the one list that there is."""
        return np.zeros(len(codes), np.int64), np.ascontiguousarray(codes)

    def scanner(self, coarse: Any) -> Any:
        """An empty FAISS index of inverted lists of these codes, about the centroids that `coarse` holds."""
        return product_lists(self.quantizer, coarse, residual=False)

    def save(self, path: Path) -> None:
        """Write the codec as safetensors."""
        names = ("mean", "into", "back", "codebooks", "ask", "share")
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in names}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**load_file(path))
