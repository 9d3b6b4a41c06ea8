"""Product codes trained: lists by spherical k-means, a rotation by OPQ, centroids by k-means, the aim at queries."""

import faiss
import numpy as np

from engine.codecs.pq import ProductCode
from engine.types import F32
from indexer.codecs.pairs import Asked

SHARE = 0.95
_OPQ_ROWS, _OPQ_ROUNDS, _PQ_ROUNDS, _ROWS, _LIST_ROWS = 12_000, 12, 4, 30_000, 50


def train_product(
    asked: Asked, parts: int, nbits: int = 8, lists: int = 0, share: float = SHARE, rotate: bool = True, seed: int = 0
) -> ProductCode:
    """Codes of parts * nbits / 8 bytes, nbits 4 or 8, after the lists' numbers when there are lists.

    share: see engine.codecs.aim; 0 trains plain codes. rotate: OPQ, else a drawn rotation.
    """
    rng = np.random.default_rng(seed)
    mean = asked.rows.mean(0, dtype=np.float64).astype(np.float32)
    rows = asked.rows - mean
    centroids = _lists(rows, lists, seed)
    rest = rows - centroids[np.argmax(rows @ centroids.T, axis=1)] if lists else rows
    rest = rest[rng.permutation(len(rest))[:_ROWS]]
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # thousands of small problems: threads wait for each other longer than they work
    try:
        rotation = _rotation(rest[:_OPQ_ROWS], parts, nbits, rotate, rng)
        quantizer = faiss.ProductQuantizer(rotation.shape[1], parts, nbits)
        quantizer.cp.min_points_per_centroid = 1
        quantizer.cp.seed = seed + 1
        quantizer.train(np.ascontiguousarray(rest @ rotation))
    finally:
        faiss.omp_set_num_threads(threads)
    books = faiss.vector_to_array(quantizer.centroids).reshape(parts, 1 << nbits, -1)
    ask = asked.expected() if share else np.zeros((rows.shape[1],) * 2, np.float32)
    return ProductCode(
        mean, rotation, books, np.ascontiguousarray(centroids @ rotation), ask, np.array([share], np.float32)
    )


def _lists(rows: F32, count: int, seed: int) -> F32:
    """Centroids (count, d) of one length, which leaves least of the rows."""
    if not count:
        return np.empty((0, rows.shape[1]), np.float32)
    clustering = faiss.Kmeans(
        rows.shape[1], count, niter=8, spherical=True, seed=seed + 1,
        max_points_per_centroid=_LIST_ROWS, min_points_per_centroid=1,
    )  # fmt: skip
    clustering.train(np.ascontiguousarray(rows))
    units = np.asarray(clustering.centroids, np.float32)
    length = float((rows @ units.T).max(axis=1).mean())
    out: F32 = units * np.float32(length)
    return out


def _rotation(rows: F32, parts: int, nbits: int, rotate: bool, rng: np.random.Generator) -> F32:
    """(d, D), orthonormal rows; D is d, or the next multiple of `parts`."""
    dim = rows.shape[1]
    width = -(-dim // parts) * parts
    if not rotate or len(rows) < 4 << nbits:
        drawn: F32 = np.linalg.qr(rng.standard_normal((width, width)))[0][:dim].astype(np.float32)
        return drawn
    opq = faiss.OPQMatrix(dim, parts, width)
    opq.niter, opq.niter_pq = _OPQ_ROUNDS, _PQ_ROUNDS
    opq.niter_pq_0 = _PQ_ROUNDS  # not FAISS's 40 for the first rotation, which is given up at once: a third of the time
    start = faiss.ProductQuantizer(width, parts, nbits)
    start.cp.min_points_per_centroid = 1
    opq.pq = start
    opq.train(np.ascontiguousarray(rows))
    turned = faiss.vector_to_array(opq.A).reshape(width, dim).T
    u, _, vt = np.linalg.svd(turned.astype(np.float64), full_matrices=False)
    out: F32 = (u @ vt).astype(np.float32)
    return out
