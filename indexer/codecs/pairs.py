"""What queries look for: held queries with their true neighbours in a sample, and the query one expects to find x."""

from dataclasses import dataclass

import faiss
import numpy as np
import torch
from torch import Tensor

from engine.types import F32, I64

NEIGHBOURS = 10
_RIDGE = 0.05
_QUERIES = 8000


@dataclass(frozen=True, slots=True)
class Asked:
    """Training rows (n, d), queries (m, d), and each query's nearest rows (m, NEIGHBOURS), best first."""

    rows: F32
    queries: F32
    nearest: I64

    @classmethod
    def of(cls, rows: F32, queries: F32 | None, seed: int = 0) -> "Asked":
        """Find the neighbours. Without queries, rows themselves ask: a picture searches pictures."""
        rng = np.random.default_rng(seed)
        asking = rows if queries is None or not len(queries) else queries
        asking = asking[np.sort(rng.permutation(len(asking))[:_QUERIES])]
        flat = faiss.IndexFlatIP(rows.shape[1])
        flat.add(np.ascontiguousarray(rows))
        _, nearest = flat.search(np.ascontiguousarray(asking), min(NEIGHBOURS, len(rows)))
        return cls(rows, asking, nearest)

    def expected(self) -> F32:
        """The (d, d) map from a row to the query that is expected to find it: ridge regression over these pairs."""
        found, depth = self.rows[self.nearest.ravel()].astype(np.float64), self.nearest.shape[1]
        asked = np.repeat(self.queries, depth, axis=0).astype(np.float64)
        dim = found.shape[1]
        scatter = found.T @ found + _RIDGE * max(float((found**2).sum()) / dim, 1e-6) * np.eye(dim)
        return np.linalg.solve(scatter, found.T @ asked).astype(np.float32)


def score_loss(queries: Tensor, error: Tensor) -> Tensor:
    """Squared errors of scores between queries (q, d) and their neighbours, changed by `error` (q, k, d) of decoding.

    Only differences within a query count: what all its neighbours share changes no rank. In the scale of a vector's own
    squared error, were that alike in all directions.
    """
    misses = torch.einsum("qd,qkd->qk", queries, error)
    return misses.var(dim=1, unbiased=False).mean() * queries.shape[1]
