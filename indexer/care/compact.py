"""Compact the shards of an encoder: its living rows move to the next generation, and what is served moves with them.

The new shards and the new version are whole on the disk before one transaction names them both in place of the old
ones; only then are the old ones deleted. A run killed before that transaction has changed nothing, one killed after it
has left folders that no row names, which the next one removes.
"""

import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, EncoderRow, HeadRow, IndexVersion, Item, chunks
from engine.config import Config
from engine.errors import ArtifactError, NoRoom
from engine.store import SHARD_ROWS, EmbeddingStore, row_bytes, store_folder
from engine.types import I64
from indexer.care.embeddings import FLAT, table
from indexer.care.leftovers import remove
from indexer.jobs import Tell

WORTH = 0.2  # the share of dead rows from which on compacting is worth reading all the others
_BLOCK, _ROWS = 16_384, 10_000
_MARGIN = 64 * 2**20  # bytes left free on the disk


@dataclass(frozen=True, slots=True)
class Placed:
    """An embedding at its new place, as `embeddings_after` tells of one."""

    id: int
    item_id: int
    modality: str
    shard: int
    row: int


def dead_rows(catalog: Catalog, encoder: EncoderRow, gone: Set[int] = frozenset()) -> int:
    """Rows of the shards that no embedding points to. Files of one content share a row.

    gone: items whose embeddings are not counted, nor are those of their frames and captions.
    """
    parent = sa.select(sa.func.coalesce(Item.parent_id, 0)).where(Item.id == Embedding.item_id).scalar_subquery()
    columns = (FLAT, Embedding.item_id, parent) if gone else (FLAT,)
    found = table(catalog, *columns, where=Embedding.encoder_id == encoder.id)
    if gone:
        found = found[~np.isin(found[:, 1:], np.fromiter(gone, np.int64)).any(axis=1)]
    return encoder.rows - len(np.unique(found[:, 0]))


def compact(catalog: Catalog, config: Config, encoder: EncoderRow, tell: Tell) -> bool:
    """Move the living rows to the next generation and publish it; False when nothing lives that could be published.

    Raises NoRoom when there is no room for both generations, ArtifactError when rows are damaged. The caller holds
    the write lock.
    """
    ids, places = _embeddings(catalog, encoder)
    living, order = np.unique(places, return_inverse=True)  # in the order of the old places, each one once
    served = catalog.current_version()
    published = served is not None and served.encoder_id == encoder.id
    found = _present(catalog, encoder, ids, order) if published else []
    if published and not found:
        return False
    _check_room(catalog, config, encoder, len(living), len(found), served.head_id if served else None)
    generation = encoder.generation + 1
    _copy(catalog, encoder, generation, living, tell)
    version = None
    if published:
        from indexer.build import write_version  # faiss and torch: only where something is built

        version = write_version(catalog, config, encoder, generation, found, tell, served.head_id if served else None)
    _switch(catalog, encoder, generation, ids, order, version, len(living))
    return True


def _embeddings(catalog: Catalog, encoder: EncoderRow) -> tuple[I64, I64]:
    """Ids (n,) of the encoder's embeddings, ascending, and their places (n,), each as one number."""
    rows = table(catalog, Embedding.id, FLAT, where=Embedding.encoder_id == encoder.id)
    return rows[:, 0], rows[:, 1]


def _present(catalog: Catalog, encoder: EncoderRow, ids: I64, order: I64) -> list[Placed]:
    """The embeddings of present items at their new places, ascending by id."""
    from engine.versions import embeddings_after

    found = embeddings_after(catalog, encoder.id, 0)
    new = order[np.searchsorted(ids, np.array([row.id for row in found], np.int64))]
    return [
        Placed(row.id, row.item_id, row.modality, *divmod(place, SHARD_ROWS))
        for row, place in zip(found, new.tolist(), strict=True)
    ]


def _check_room(
    catalog: Catalog, config: Config, encoder: EncoderRow, rows: int, items: int, head_id: int | None
) -> None:
    needed = rows * row_bytes(encoder.dim) + items * (config.codec.bits // 8 + 16)
    if head_id is not None:  # the version has rows of its own
        with catalog.session() as session:
            head = session.get(HeadRow, head_id)
        needed += items * 2 * int(head.report.get("dim", encoder.dim)) if head else 0
    free = shutil.disk_usage(catalog.home).free
    if needed + _MARGIN > free:
        raise NoRoom(
            f"compacting the embeddings of {encoder.spec} needs {needed / 2**20:,.0f} MiB beside the old ones, and "
            f"{free / 2**20:,.0f} MiB are free: make room, then run `rebus gc` again"
        )


def _copy(catalog: Catalog, encoder: EncoderRow, generation: int, living: I64, tell: Tell) -> None:
    """Write the rows at these old places to new shards, in this order; each block is synced.

    Raises ArtifactError for a row that is not what was written: its copy would pass for whole.
    """
    old = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, encoder.generation), encoder.dim)
    new = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, generation), encoder.dim)
    remove(new.folder)  # of a run that was killed
    for start in range(0, len(living), _BLOCK):
        shards, rows = np.divmod(living[start : start + _BLOCK], SHARD_ROWS)
        if old.altered(shards, rows)[0].any():
            raise ArtifactError(
                f"rows in {old.folder} are damaged, and were not compacted: `rebus doctor --deep --repair`"
            )
        new.append(old.read(shards, rows))
        tell("compacting embeddings", start + len(rows), len(living))


def _switch(
    catalog: Catalog,
    encoder: EncoderRow,
    generation: int,
    ids: I64,
    order: I64,
    version: IndexVersion | None,
    rows: int,
) -> None:
    """Name the new shards and the new version in place of the old ones, all at once."""
    moved: Sequence[dict[str, int]] = [
        {"id": i, "shard": place // SHARD_ROWS, "row": place % SHARD_ROWS}
        for i, place in zip(ids.tolist(), order.tolist(), strict=True)
    ]
    with catalog.session() as session:
        for some in chunks(moved, _ROWS):
            session.execute(sa.update(Embedding), some)
        change = sa.update(EncoderRow).where(EncoderRow.id == encoder.id)
        session.execute(change.values(rows=rows, generation=generation))
        session.execute(sa.delete(IndexVersion).where(IndexVersion.encoder_id == encoder.id))
        if version is not None:
            session.add(version)
