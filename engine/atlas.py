"""A map of a version's pictures: t-SNE (van der Maaten and Hinton 2008) of landmarks, and the others beside these.

It is drawn once a version, and kept in the library's `maps`, where `rebus gc` sweeps those of versions that are gone.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from engine.artifacts import replace_file
from engine.catalog import Catalog, Embedding, chunks
from engine.status import MAPS
from engine.types import F32, I64, Array, Modality
from engine.versions import Version

MOST = 5000  # pictures on a map
_LEAST, _CHUNK = 8, 500
_LANDMARKS, _PERPLEXITY, _STEPS, _ANGLE = 1000, 30, 300, 0.8
_BESIDE, _SHARP = 5, 30.0  # landmarks that a picture lies between; how much more the nearer ones pull

log = logging.getLogger(__name__)


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
    """The map of a version: empty for fewer than eight pictures. The same version gives the same map.

    Of 5,000 pictures it takes about two seconds of one core.
    """
    index = version.indexes.get(Modality.IMAGE)
    every: I64 = np.sort(index.ids) if index is not None else np.empty(0, np.int64)
    chosen = every[np.linspace(0, len(every) - 1, min(most, len(every))).astype(np.int64)] if len(every) else every
    ids, rows = _embeddings(catalog, version, chosen)
    if len(ids) < _LEAST:
        return Atlas(version.id, np.empty(0, np.int64), np.empty((0, 2), np.float32), len(every))
    return Atlas(version.id, ids, _spread(rows), len(every))


def kept_atlas(home: Path, version: int) -> Atlas | None:
    """The map of a version as it was kept; None without one that can be read."""
    try:
        with safe_open(_file(home, version), framework="numpy") as file:
            ids, places, of = file.get_tensor("ids"), file.get_tensor("places"), int((file.metadata() or {})["of"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    whole = ids.ndim == 1 and ids.dtype == np.int64 and places.shape == (len(ids), 2) and places.dtype == np.float32
    sound = whole and bool(((places >= 0) & (places <= 1)).all())
    return Atlas(version, ids, places, of) if sound else None


def keep_atlas(home: Path, atlas: Atlas) -> None:
    """Keep a map for the next time, and for other processes; where that cannot be, it is drawn again then."""
    file = _file(home, atlas.version)
    whole: dict[str, Array] = {"ids": np.ascontiguousarray(atlas.ids), "places": np.ascontiguousarray(atlas.places)}
    try:
        file.parent.mkdir(exist_ok=True)
        replace_file(file, save(whole, {"of": str(atlas.of)}))
    except OSError as error:
        log.warning("the map of version %s could not be kept: %s", atlas.version, error.strerror)


def _file(home: Path, version: int) -> Path:
    return home / MAPS / f"{version}.safetensors"


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
    marks = np.unique(np.linspace(0, len(rows) - 1, min(_LANDMARKS, len(rows))).astype(np.int64))
    places = _embedded(rows[marks])
    flat = _beside(rows, rows[marks], places)
    flat[marks] = places
    low, high = flat.min(0), flat.max(0)
    ranks = flat.argsort(0).argsort(0) / (len(flat) - 1)
    out: F32 = (((flat - low) / np.maximum(high - low, 1e-6) + ranks) / 2).astype(np.float32)
    return out


def _embedded(rows: F32) -> F32:
    """t-SNE's places (m, 2) of landmarks, on one thread."""
    from sklearn.manifold import TSNE  # a second to import, and of use here alone while serving
    from threadpoolctl import threadpool_limits

    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=0, max_iter=_STEPS, angle=_ANGLE, n_jobs=1)
    with threadpool_limits(1):
        out: F32 = tsne.fit_transform(rows)
    return out


def _beside(rows: F32, marks: F32, places: F32) -> F32:
    """Places (n, 2) of rows between the landmarks (m, dim) that are nearest to each."""
    near = min(_BESIDE, len(marks))
    out = np.empty((len(rows), 2), np.float32)
    for start in range(0, len(rows), _CHUNK):
        cosines = rows[start : start + _CHUNK] @ marks.T
        nearest = np.argpartition(-cosines, near - 1, axis=1)[:, :near]
        pull = np.take_along_axis(cosines, nearest, 1)
        pull = np.exp(_SHARP * (pull - pull.max(1, keepdims=True)))
        weights = pull / pull.sum(1, keepdims=True)
        out[start : start + _CHUNK] = np.einsum("nk,nkd->nd", weights, places[nearest])
    return out
