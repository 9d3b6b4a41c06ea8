"""What a version is made of: each modality's rows in the joint space, and the queries that will ask for them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa
import xxhash

from engine.catalog import Caption, Catalog
from engine.heads import Head
from engine.store import EmbeddingStore, StoredRows
from engine.types import F32, I64, Modality
from engine.versions import rows_by_modality, words_of

_SAMPLE, _BLOCK, _HELD = 20_000, 16_384, 5  # a fifth of the queries are held out


@dataclass(frozen=True, slots=True)
class Source:
    """One modality of a version to be.

    ids: its items (n,). read: positions to their rows (k, d) in the joint space. kept: where these lie already, when
    nothing projects; else the version keeps rows of its own.
    """

    ids: I64
    read: Callable[[I64], F32]
    kept: StoredRows | None = None


def queries_for(
    catalog: Catalog, head: Head, modality: Modality, sources: dict[Modality, Source]
) -> tuple[F32 | None, F32 | None]:
    """What will ask for this modality: captions for pictures, pictures for words; to train on, and held out.

    None where the library has nothing that can be compared. The captions of one picture stay on one side.
    """
    asks = Modality.IMAGE if modality is Modality.TEXT else Modality.TEXT
    if asks not in sources or not head.compares(asks, modality):
        return None, None
    chosen = np.random.default_rng(1).permutation(len(sources[asks].ids))[:_SAMPLE]
    ids = sources[asks].ids[chosen]
    owners = ids
    if asks is Modality.TEXT:
        with catalog.session() as session:
            known = {row.id: row.owner_id for row in session.execute(sa.select(Caption.id, Caption.owner_id))}
        owners = np.array([known.get(i, i) for i in ids.tolist()], np.int64)
    held = np.array([xxhash.xxh64_intdigest(str(owner)) % _HELD == 0 for owner in owners.tolist()], np.bool_)
    if not held.any() or held.all():
        return None, None
    return sources[asks].read(chosen[~held]), sources[asks].read(chosen[held])


def sources_of(catalog: Catalog, head: Head, store: EmbeddingStore, found: Sequence[Any]) -> dict[Modality, Source]:
    """What a version holds: the embeddings found, and all the captions' words when the head reads these itself."""
    sources: dict[Modality, Source] = {}
    for modality, (ids, rows) in rows_by_modality(store, found).items():
        if modality is not Modality.TEXT or head.texts is None:
            sources[modality] = Source(ids, partial(_project, head, modality, rows), rows if head.is_identity else None)
    words = words_of(catalog) if head.texts is not None else []
    if words:
        ids, texts = np.array([item for item, _ in words], np.int64), [text for _, text in words]
        sources[Modality.TEXT] = Source(ids, lambda positions: head.project_texts([texts[i] for i in positions]))
    return sources


def _project(head: Head, modality: Modality, rows: StoredRows, positions: I64) -> F32:
    return head.project(rows[positions], modality)


def sample(count: int, most: int = _SAMPLE) -> I64:
    """Positions of at most so many of `count` rows, ascending, the same each time: to fit codes on, or measure by."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def blocks(count: int) -> Iterator[I64]:
    """All positions, block by block."""
    for start in range(0, count, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, count))
