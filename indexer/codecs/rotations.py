"""Rotations learned for sign codes."""

import numpy as np
import torch
from torch import nn

from engine.codecs.hashing import drawn_rotation
from engine.types import F32
from indexer.codecs.pairs import Asked, score_loss

_ROUNDS, _ROWS = 30, 20_000
_EPOCHS, _BATCH, _RATE, _SCORES = 4, 256, 1e-4, 4.0


def principal(rows: F32, bits: int) -> F32:
    """(d, bits) principal directions, the first the widest; blocks of d columns beyond the first are drawn."""
    _, vectors = np.linalg.eigh(np.cov(_some(rows - rows.mean(0)).T))
    return _widened(vectors[:, ::-1][:, :bits].astype(np.float32), bits)


def itq(rows: F32, bits: int, seed: int = 0, rounds: int = _ROUNDS) -> F32:
    """(d, bits) orthonormal columns, bits <= d, whose signs are nearest to the projections themselves.

    Iterative quantization: principal components, then the Procrustes rotation of signs, in turns (Gong and Lazebnik
    2011).
    Blocks of d columns beyond the first are drawn.
    """
    kept = min(bits, rows.shape[1])
    directions = principal(rows, kept)
    projected = _some(rows - rows.mean(0)) @ directions
    turn = drawn_rotation(kept, kept, seed)
    for _ in range(rounds):
        signs = np.where(projected @ turn >= 0, 1, -1).astype(np.float32)
        u, _, vt = np.linalg.svd(projected.T @ signs)
        turn = (u @ vt).astype(np.float32)
    return _widened(directions @ turn, bits, seed)


def descended(asked: Asked, bits: int, seed: int = 0, epochs: int = _EPOCHS) -> F32:
    """(d, bits) orthonormal columns that descend the error of decoded vectors and of their scores with their queries.

    Each decoded vector has its own length, as ScaledHash gives it. Signs are constants of a step, as in `itq`, where
    this begins; a gradient straight through them loses what that gained. The columns are turned by the Cayley map of a
    skew matrix, so they stay orthonormal. Blocks of d columns beyond the first are drawn.
    """
    torch.manual_seed(seed)
    dim = asked.rows.shape[1]
    kept = min(bits, dim)
    rows = torch.from_numpy(asked.rows - asked.rows.mean(0))
    queries, nearest = torch.from_numpy(asked.queries), torch.from_numpy(asked.nearest)
    start, one = torch.from_numpy(itq(asked.rows, kept, seed)), torch.eye(dim)
    free = nn.Parameter(torch.zeros(dim, dim))

    def turned() -> torch.Tensor:
        skew = free - free.T
        out: torch.Tensor = torch.linalg.solve(one + skew, one - skew) @ start
        return out

    descent = torch.optim.Adam([free], lr=_RATE)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(queries)), _BATCH):
            x, rotation = rows[nearest[batch]], turned()
            y = x @ rotation
            error = x - (y.abs().mean(-1, keepdim=True) * y.sign()) @ rotation.T
            loss = (error**2).sum(-1).mean() + _SCORES * score_loss(queries[batch], error)
            descent.zero_grad()
            torch.autograd.backward(loss)
            descent.step()
    return _widened(turned().detach().numpy(), bits, seed)


def _some(rows: F32) -> F32:
    """Of many rows _ROWS at most, from everywhere: neighbours are often alike."""
    return rows[:: -(-len(rows) // _ROWS)]


def _widened(learned: F32, bits: int, seed: int = 0) -> F32:
    dim, kept = learned.shape
    if bits <= kept:
        return learned
    return np.concatenate([learned, drawn_rotation(dim, bits - kept, seed + 1)], axis=1)
