"""Examine the embeddings: what the shards hold against what the catalog counts and points to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from engine.catalog import Catalog, Embedding, EncoderRow, Item, chunks
from engine.encoders.features import is_features
from engine.store import SHARD_ROWS, EmbeddingStore, store_folder
from engine.types import I64, Array, Modality
from engine.words import counted
from indexer.care.findings import Finding, note, ok, problem

_BLOCK = 16_384
_UNIT = 0.01  # how far from 1 the length of a row may be: float16 rounds it by less than 0.001
FLAT = Embedding.shard * SHARD_ROWS + Embedding.row  # a place as one number


def table(catalog: Catalog, *columns: Any, where: sa.ColumnElement[bool]) -> I64:
    """Integer columns of embeddings (n, columns), ascending by id, read without a million row objects at once."""
    query = sa.select(*columns).where(where).order_by(Embedding.id).execution_options(yield_per=10_000)
    with catalog.session() as session:
        flat = np.fromiter((value for row in session.execute(query) for value in row), np.int64)
    return flat.reshape(-1, len(columns))


def examine_embeddings(catalog: Catalog, deep: bool) -> Iterator[Finding]:
    """Each encoder's shards. deep: read every row that is pointed to."""
    with catalog.session() as session:
        encoders = list(session.scalars(sa.select(EncoderRow).order_by(EncoderRow.id)))
    for encoder in encoders:
        folder = store_folder(catalog.home, encoder.fingerprint, encoder.generation)
        store = EmbeddingStore(folder, encoder.dim, raw=is_features(encoder.spec))  # `store_of` would import torch
        yield from _examine(catalog, encoder, store, deep)


def _examine(catalog: Catalog, encoder: EncoderRow, store: EmbeddingStore, deep: bool) -> Iterator[Finding]:
    whole = min(store.whole_rows(), encoder.rows)
    lost = _count(catalog, encoder, whole)
    again = "`rebus import` writes it again" if store.raw else "`rebus index` embeds those files again"
    if whole < encoder.rows:
        yield problem(
            f"the shards in {store.folder} hold {whole:,} of {counted(encoder.rows, 'row')}: "
            + counted(lost, "embedding", "is lost", "are lost"),
            f"restore a backup, or drop what is lost (--repair), and {again}",
            lambda: _cut(catalog, encoder, whole),
            stale=True,
        )
    elif lost:
        yield problem(
            f"{counted(lost, 'embedding', 'points', 'point')} past the {counted(whole, 'row')} of {store.folder}",
            f"drop them (--repair), and {again}",
            lambda: _cut(catalog, encoder, whole),
            stale=True,
        )
    bad = _bad_rows(catalog, encoder, store, whole) if deep else _Bad()
    altered = bad.altered, "is not what was written", "are not what was written"
    for ids, one, many in (altered, (bad.long, "is no vector of unit length", "are no vectors of unit length")):
        if ids:
            yield problem(
                f"{counted(len(ids), 'embedding')} in {store.folder} {one if len(ids) == 1 else many}",
                f"drop them (--repair), and {again}",
                partial(_drop_all, catalog, ids),
                stale=True,
            )
    if len(bad.unknown):
        yield note(
            f"{counted(len(bad.unknown), 'row')} in {store.folder} with no checksum, as earlier releases wrote them: "
            "whether a bit flipped there cannot be told",
            "take them as they are, and write their checksums (--deep --repair)",
            partial(store.seal, bad.unknown // SHARD_ROWS, bad.unknown % SHARD_ROWS),
        )
    if whole == encoder.rows and not lost and not bad.altered and not bad.long:
        yield ok(
            f"{counted(whole, 'embedding')} of {encoder.spec} {'lies' if whole == 1 else 'lie'} where the catalog says"
            + (", each whole" * deep)
        )


def _outside(encoder: EncoderRow, whole: int) -> tuple[sa.ColumnElement[bool], ...]:
    inside = sa.and_(Embedding.shard >= 0, Embedding.row >= 0, Embedding.row < SHARD_ROWS, whole > FLAT)
    return Embedding.encoder_id == encoder.id, sa.not_(inside)


def _count(catalog: Catalog, encoder: EncoderRow, whole: int) -> int:
    """How many embeddings point outside the first `whole` rows."""
    query = sa.select(sa.func.count()).select_from(Embedding).where(*_outside(encoder, whole))
    with catalog.session() as session:
        return session.scalar(query) or 0


def _cut(catalog: Catalog, encoder: EncoderRow, whole: int) -> None:
    """Drop the embeddings outside the first `whole` rows, and count no more than those."""
    with catalog.session() as session:
        lost = session.scalars(sa.select(Embedding.id).where(*_outside(encoder, whole))).all()
        _drop(session, lost)
        session.execute(sa.update(EncoderRow).where(EncoderRow.id == encoder.id).values(rows=whole))


def _drop(session: Session, ids: Sequence[int]) -> None:
    """Drop embeddings; with one of a frame that of its file too, by which indexing knows that it must be read."""
    file, frame = aliased(Embedding), aliased(Item)
    for some in chunks(ids, 500):
        query = sa.select(file.id).join(frame, frame.parent_id == file.item_id)
        query = query.join(Embedding, sa.and_(Embedding.item_id == frame.id, Embedding.encoder_id == file.encoder_id))
        files = session.scalars(query.where(Embedding.id.in_(some), frame.modality != Modality.TEXT)).all()
        for dropped in chunks([*some, *files], 500):
            session.execute(sa.delete(Embedding).where(Embedding.id.in_(dropped)))


@dataclass(slots=True)
class _Bad:
    """Ids of embeddings whose rows differ from their checksums, and of such that are whole and no unit vectors.

    unknown: the places of sound rows without a checksum, ascending.
    """

    altered: list[int] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    unknown: I64 = field(default_factory=lambda: np.empty(0, np.int64))


def _bad_rows(catalog: Catalog, encoder: EncoderRow, store: EmbeddingStore, whole: int) -> _Bad:
    """What a look at every row that is pointed to finds. Imported vectors may have any length."""
    found = table(catalog, Embedding.id, FLAT, where=Embedding.encoder_id == encoder.id)
    found = found[(found[:, 1] >= 0) & (found[:, 1] < whole)]
    found = found[np.argsort(found[:, 1], kind="stable")]
    bad, unknown = _Bad(), [_Bad().unknown]
    for start in range(0, len(found), _BLOCK):
        ids, places = found[start : start + _BLOCK].T
        altered, unsummed = store.altered(places // SHARD_ROWS, places % SHARD_ROWS)
        unit = _unit(store, places)
        bad.altered += ids[altered].tolist()
        bad.long += ids[~altered & ~unit].tolist()
        unknown.append(places[unsummed & unit])
    bad.unknown = np.unique(np.concatenate(unknown))
    return bad


def _unit(store: EmbeddingStore, places: I64) -> Array:
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(store.read(places // SHARD_ROWS, places % SHARD_ROWS), axis=1)
        unit: Array = np.abs(lengths - 1) < _UNIT  # false for what is no number
    return unit | (lengths == 0) if store.raw else unit


def _drop_all(catalog: Catalog, ids: Sequence[int]) -> None:
    with catalog.session() as session:
        _drop(session, ids)
