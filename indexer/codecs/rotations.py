"""Rotations learned for sign codes."""

import numpy as np

from engine.codecs.hashing import drawn_rotation
from engine.types import F32

_ROUNDS, _ROWS = 30, 20_000


def itq(rows: F32, bits: int, seed: int = 0, rounds: int = _ROUNDS) -> F32:
    """(d, bits) orthonormal columns, bits <= d, whose signs are nearest to the projections themselves.

    Iterative quantization: principal components, then the Procrustes rotation of signs, in turns (Gong and Lazebnik
    2011).
    Blocks of d columns beyond the first are drawn.
    """
    dim = rows.shape[1]
    kept = min(bits, dim)
    centred = (rows - rows.mean(0))[:_ROWS]
    _, vectors = np.linalg.eigh(np.cov(centred.T))
    principal = vectors[:, ::-1][:, :kept].astype(np.float32)
    projected = centred @ principal
    turn = drawn_rotation(kept, kept, seed)
    for _ in range(rounds):
        signs = np.where(projected @ turn >= 0, 1, -1).astype(np.float32)
        u, _, vt = np.linalg.svd(projected.T @ signs)
        turn = (u @ vt).astype(np.float32)
    learned: F32 = principal @ turn
    if bits <= dim:
        return learned
    return np.concatenate([learned, drawn_rotation(dim, bits - dim, seed + 1)], axis=1)
