"""Examine the embeddings: what the shards hold against what the catalog counts and points to."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from engine.catalog import Catalog, Embedding, EncoderRow, Item, chunks
from engine.encoders.features import is_features
from engine.store import SHARD_ROWS, EmbeddingStore, store_folder
from engine.types import I64, Array, Modality
from indexer.care.findings import Finding, ok, problem

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
        store = EmbeddingStore(folder, encoder.dim, raw=is_features(encoder.spec))
        yield from _examine(catalog, encoder, store, deep)


def _examine(catalog: Catalog, encoder: EncoderRow, store: EmbeddingStore, deep: bool) -> Iterator[Finding]:
    whole = min(store.whole_rows(), encoder.rows)
    lost = _count(catalog, encoder, whole)
    again = "`rebus import` writes it again" if store.raw else "`rebus index` embeds those files again"
    if whole < encoder.rows:
        yield problem(
            f"the shards in {store.folder} hold {whole:,} of {encoder.rows:,} rows: {lost:,} embeddings are lost",
            f"restore a backup, or drop what is lost (--repair), and {again}",
            lambda: _cut(catalog, encoder, whole),
            stale=True,
        )
    elif lost:
        yield problem(
            f"{lost:,} embeddings point past the {whole:,} rows of {store.folder}",
            f"drop them (--repair), and {again}",
            lambda: _cut(catalog, encoder, whole),
            stale=True,
        )
    bad = _bad_rows(catalog, encoder, store, whole) if deep else []
    if bad:
        yield problem(
            f"{len(bad):,} embeddings in {store.folder} are no vectors of unit length",
            f"drop them (--repair), and {again}",
            lambda: _drop_all(catalog, bad),
            stale=True,
        )
    if whole == encoder.rows and not lost and not bad:
        yield ok(f"{whole:,} embeddings of {encoder.spec} lie where the catalog says" + (", each whole" * deep))


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


def _bad_rows(catalog: Catalog, encoder: EncoderRow, store: EmbeddingStore, whole: int) -> list[int]:
    """Ids of embeddings whose vectors are not finite, or, unless they were imported, not of unit length."""
    found = table(catalog, Embedding.id, FLAT, where=Embedding.encoder_id == encoder.id)
    found = found[(found[:, 1] >= 0) & (found[:, 1] < whole)]
    found = found[np.argsort(found[:, 1], kind="stable")]
    bad: list[int] = []
    for start in range(0, len(found), _BLOCK):
        block = found[start : start + _BLOCK]
        bad += block[~_unit(store, block[:, 1]), 0].tolist()
    return bad


def _unit(store: EmbeddingStore, places: I64) -> Array:
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(store.read(places // SHARD_ROWS, places % SHARD_ROWS), axis=1)
        unit: Array = np.abs(lengths - 1) < _UNIT  # false for what is no number
    return unit | (lengths == 0) if store.raw else unit


def _drop_all(catalog: Catalog, ids: Sequence[int]) -> None:
    with catalog.session() as session:
        _drop(session, ids)
