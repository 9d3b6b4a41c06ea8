"""A map of a version's pictures: t-SNE of a sample of their embeddings (van der Maaten and Hinton 2008)."""

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, chunks
from engine.types import F32, I64, Modality
from engine.versions import Version

MOST = 1500  # pictures on a map
_LEAST, _PERPLEXITY, _CHUNK = 8, 30, 500


@dataclass(frozen=True, slots=True)
class Atlas:
    """Where pictures lie. ids: (n,) items; places: (n, 2), each side from 0 to 1; near pictures are alike.

    version: of what it is a map. of: how many pictures the version holds.
    """

    version: int
    ids: I64
    places: F32
    of: int


def draw_atlas(catalog: Catalog, version: Version, most: int = MOST) -> Atlas:
    """The map of a version: empty for fewer than eight pictures. The same version gives the same map. Takes seconds."""
    index = version.indexes.get(Modality.IMAGE)
    every: I64 = np.sort(index.ids) if index is not None else np.empty(0, np.int64)
    chosen = every[np.linspace(0, len(every) - 1, min(most, len(every))).astype(np.int64)] if len(every) else every
    ids, rows = _embeddings(catalog, version, chosen)
    if len(ids) < _LEAST:
        return Atlas(version.id, np.empty(0, np.int64), np.empty((0, 2), np.float32), len(every))
    return Atlas(version.id, ids, _spread(rows), len(every))


def _embeddings(catalog: Catalog, version: Version, ids: I64) -> tuple[I64, F32]:
    """Those of the items that are still there, with their rows of the joint space (n, dim)."""
    query = sa.select(Embedding.item_id, Embedding.shard, Embedding.row)
    query = query.where(Embedding.encoder_id == version.encoder_id)
    found: list[tuple[int, int, int]] = []
    with catalog.session() as session:
        for part in chunks(ids.tolist(), _CHUNK):
            found += [
                (item, shard, row) for item, shard, row in session.execute(query.where(Embedding.item_id.in_(part)))
            ]
    if not found:
        return np.empty(0, np.int64), np.empty((0, 1), np.float32)
    items, shards, rows = np.array(sorted(found), np.int64).T
    return items, version.head.project(version.store.read(shards, rows), Modality.IMAGE)


def _spread(rows: F32) -> F32:
    """Places (n, 2) of unit rows (n, dim) in a unit square: half by rank, since clusters would leave it empty."""
    from sklearn.manifold import TSNE  # a second to import, and of use here alone while serving

    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    flat = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=500, n_jobs=1).fit_transform(rows)
    low, high = flat.min(0), flat.max(0)
    ranks = flat.argsort(0).argsort(0) / (len(flat) - 1)
    out: F32 = (((flat - low) / np.maximum(high - low, 1e-6) + ranks) / 2).astype(np.float32)
    return out
