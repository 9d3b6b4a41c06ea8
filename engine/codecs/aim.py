"""Codes whose decoded vectors score as the vectors do for the queries that find them.

A quantizer that minimises the plain error pulls vectors towards its centroids, and pulls most where a vector lies far
out, which is where the queries that find it look: among the best hits, scores sink by unequal amounts, and ranks
change. What matters is the error along the query one expects to find x, which a ridge regression of queries on their
neighbours predicts as `x @ ask` (for queries from the data itself that is x, and this is the parallel error of
Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector Quantization", 2020). Instead of another
assignment rule, an ordinary quantizer is given x times a factor, found by a few fixed-point steps, so that the decoded
vector's score comes nearest to `share` of the true one. The code stays a plain code: FAISS scans it as any other.
"""

from collections.abc import Callable

import numpy as np

from engine.types import F32, U8

STEPS = 3
_FACTORS = (0.8, 1.6)


def aimed(x: F32, ask: F32, wanted: F32, encode: Callable[[F32], U8], decode: Callable[[U8], F32]) -> U8:
    """Codes (n, size) of rows (n, d) that score nearest to `wanted` (n,) with the expected queries `ask` (n, d)."""
    factor = np.full(len(x), 1.1, np.float32)
    codes = encode(x)
    missed = np.abs(_dots(ask, decode(codes)) - wanted)
    for _ in range(STEPS):
        tried = encode(x * factor[:, None])
        scores = _dots(ask, decode(tried))
        error = np.abs(scores - wanted)
        better = error < missed
        codes[better], missed[better] = tried[better], error[better]
        step = wanted / np.where(np.abs(scores) < 1e-3, 1e-3, scores)
        factor = np.clip(factor * np.clip(step, 0.8, 1.25), *_FACTORS).astype(np.float32)
    return codes


def _dots(a: F32, b: F32) -> F32:
    out: F32 = np.einsum("nd,nd->n", a, b)
    return out
