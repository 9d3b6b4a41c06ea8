"""Index versions on the disk: where they lie, how one is loaded, and what it holds live."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.artifacts import read_manifest
from engine.catalog import Catalog, Embedding, EncoderRow, IndexVersion, Item, dims_of
from engine.codecs import load_codec
from engine.codecs.hashing import SignHash
from engine.encoders import resolved_spec
from engine.encoders.features import is_features
from engine.errors import ArtifactError
from engine.heads import Head
from engine.index import FaissBackend, Filter, hamming_score, merge
from engine.store import EmbeddingStore, StoredRows, store_folder
from engine.types import F32, I64, Modality


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """One modality of a version: its immutable base, and a flat delta of what was embedded since."""

    codec: SignHash
    base: FaissBackend
    delta: FaissBackend

    def recall(self, q: F32, m: int, where: Filter | None) -> tuple[I64, F32]:
        """Hash recall: the m nearest codes of each query (nq, d), as ids and scores 1 - h / bits (nq, m)."""
        codes, bits = self.codec.quantize_query(q), self.base.bits
        parts = [part.hamming(codes, m, where) for part in (self.base, self.delta)]
        first, second = ((ids, hamming_score(distances, bits)) for ids, distances in parts)
        return merge(first, second, m)

    def refine(self, q: F32, candidates: I64, k: int) -> tuple[I64, F32]:
        """The k best candidates of each query by exact cosine: ids and scores (nq, k)."""
        return merge(self.base.rescore(q, candidates, k), self.delta.rescore(q, candidates, k), k)

    def exact(self, q: F32, k: int, where: Filter | None) -> tuple[I64, F32]:
        """The k best of all vectors."""
        return merge(self.base.exact(q, k, where), self.delta.exact(q, k, where), k)

    def with_rows(self, ids: I64, rows: StoredRows) -> "LiveIndex":
        """This index with more (or newer) vectors in its delta."""
        delta = self.delta.copy()
        delta.upsert(ids, self.codec.quantize(rows[slice(None)]), rows, {})
        self.base.delete(ids)
        return LiveIndex(self.codec, self.base, delta)

    def delete(self, ids: I64) -> int:
        """Take ids out of results; return how many were there."""
        return self.base.delete(ids) + self.delta.delete(ids)

    def __len__(self) -> int:
        return len(self.base) + len(self.delta)


@dataclass(frozen=True, slots=True)
class Version:
    """A loaded version: one encoder's fingerprint, one head, an index for each result modality.

    encoder_spec: as `load_encoder` takes it. generation: of the shards that its places point into.
    """

    id: int
    published_at: float
    encoder_id: int
    encoder_spec: str
    fingerprint: str
    head: Head
    store: EmbeddingStore
    indexes: dict[Modality, LiveIndex]
    watermark: int
    generation: int

    @classmethod
    def load(cls, catalog: Catalog, row: IndexVersion) -> "Version":
        """Load a published version. Raises ArtifactError when its files are incomplete or altered."""
        folder = catalog.home / row.folder
        manifest = read_manifest(folder)
        with catalog.session() as session:
            encoder = session.get_one(EncoderRow, row.encoder_id)
        if manifest["encoder"] != encoder.fingerprint:
            raise ArtifactError(f"{folder} belongs to another encoder than the catalog says: run `rebus index` again")
        folder_of_rows = store_folder(catalog.home, encoder.fingerprint, row.generation)
        store = EmbeddingStore(folder_of_rows, encoder.dim, raw=is_features(encoder.spec))
        indexes = {
            Modality(name): _load_index(folder, name, facts, store) for name, facts in manifest["indexes"].items()
        }
        return cls(
            row.id,
            row.published_at,
            encoder.id,
            resolved_spec(catalog.home, encoder.spec),
            encoder.fingerprint,
            Head.identity(dims_of(encoder)),
            store,
            indexes,
            row.watermark,
            row.generation,
        )

    def empty_index(self, rows: StoredRows, modality: Modality) -> LiveIndex:
        """An index for a modality that this version has none of, with hash codes fitted to the rows to come."""
        bits = next((index.base.bits for index in self.indexes.values()), 256)
        codec = SignHash.fit(self.head.project(rows[slice(None)], modality), bits)
        empty = StoredRows(self.store, np.empty(0), np.empty(0))
        return LiveIndex(codec, FaissBackend(bits, empty), FaissBackend(bits, empty))


def _load_index(folder: Path, name: str, facts: dict[str, Any], store: EmbeddingStore) -> LiveIndex:
    codec = load_codec(folder, facts["codec"])
    base = FaissBackend.load(folder, name, facts["bits"], store)
    delta = FaissBackend(facts["bits"], StoredRows(store, np.empty(0), np.empty(0)))
    return LiveIndex(codec, base, delta)


def embeddings_after(
    catalog: Catalog, encoder_id: int, watermark: int, generation: int | None = None
) -> list[sa.Row[Any]]:
    """(embedding id, item id, modality, shard, row) of present items embedded after the watermark, ascending.

    generation: nothing is returned unless it is the one in use: the places of another lie in other shards.
    """
    query = sa.select(Embedding.id, Embedding.item_id, Item.modality, Embedding.shard, Embedding.row)
    query = query.join(Item, Item.id == Embedding.item_id).order_by(Embedding.id)
    query = query.where(Embedding.encoder_id == encoder_id, Embedding.id > watermark, Item.removed_at.is_(None))
    if generation is not None:
        query = query.join(EncoderRow, EncoderRow.id == Embedding.encoder_id)
        query = query.where(EncoderRow.generation == generation)
    with catalog.session() as session:
        return list(session.execute(query))


def rows_by_modality(store: EmbeddingStore, found: Sequence[Any]) -> dict[Modality, tuple[I64, StoredRows]]:
    """Group rows of `embeddings_after` by modality, as item ids and lazy vectors."""
    grouped: dict[Modality, list[Any]] = {}
    for row in found:
        grouped.setdefault(Modality(row.modality), []).append(row)
    return {
        modality: (
            np.array([row.item_id for row in rows], np.int64),
            StoredRows(store, np.array([row.shard for row in rows]), np.array([row.row for row in rows])),
        )
        for modality, rows in grouped.items()
    }
