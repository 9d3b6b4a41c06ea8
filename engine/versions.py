"""Index versions on the disk: where they lie, how one is loaded, and what it holds live."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.artifacts import read_manifest
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, HeadRow, IndexVersion, Item, dims_of
from engine.codecs import load_codec
from engine.codecs.hashing import SignHash
from engine.encoders import resolved_spec
from engine.encoders.features import is_features
from engine.errors import ArtifactError
from engine.filtering import Filter, scan_pays
from engine.gpu import Base, DeviceHashes, DeviceLists, placed
from engine.heads import Head
from engine.index import FaissBackend, Rows, hamming_score, merge
from engine.lists import Depths, ListBackend
from engine.status import embedded_after
from engine.store import EmbeddingStore, HeldRows, StoredRows, store_folder
from engine.types import F32, I64, Modality

_NOTHING: I64 = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class LiveIndex:
    """One modality of a version: its immutable base, and a flat delta of what was embedded since.

    codec: what the delta's codes are, and those of a base that compares hashes.
    """

    codec: SignHash
    base: Base
    delta: FaissBackend
    depths: Depths | None = None

    @property
    def depth(self) -> int | None:
        """How many candidates a search refines, when that was measured for this index."""
        return self.depths.candidates if self.depths else None

    def explained(self, m: int) -> dict[str, Any]:
        """How deep a search for m candidates looks: what it compares, of how many, what it hands on to refine.

        Of product and additive codes, the lists read, of how many; a filter may widen them. Where the depths were
        measured, the recall@10 of queries set aside.
        """
        said: dict[str, Any] = {"codes": self.codec.kind, "items": len(self), "candidates": m}
        if self.depths:
            said["measured_recall"] = self.depths.recall
        if isinstance(self.base, ListBackend | DeviceLists):
            said |= {"codes": self.base.codec.kind, "lists": self.base.lists, "probes": self.base.probes(m)}
        return said

    def recall(self, q: F32, m: int, where: Filter | None) -> tuple[I64, F32]:
        """The m nearest codes of each query (nq, d): ids and scores (nq, m), 1 - h / bits, or estimated cosines.

        These compare badly: from a base of product codes and a delta come m each.
        """
        if not isinstance(self.base, ListBackend | DeviceLists):
            return merge(self._hashed(self.base, q, m, where), self._hashed(self.delta, q, m, where), m)
        scanned = self.base.recall(q, m, where)
        return merge(scanned, self._hashed(self.delta, q, m, where), 2 * m) if len(self.delta) else scanned

    def _hashed(self, part: FaissBackend | DeviceHashes, q: F32, m: int, where: Filter | None) -> tuple[I64, F32]:
        ids, distances = part.hamming(self.codec.quantize_query(q), m, where)
        return ids, hamming_score(distances, part.bits)

    def refine(self, q: F32, candidates: I64, k: int) -> tuple[I64, F32]:
        """The k best candidates of each query by exact cosine: ids and scores (nq, k)."""
        return merge(self.base.rescore(q, candidates, k), self.delta.rescore(q, candidates, k), k)

    @property
    def whole(self) -> bool:
        """Whether `search` is one call for recall and refine, which takes less than two."""
        return self.base.caps.whole

    def search(self, q: F32, m: int, k: int, where: Filter | None) -> tuple[I64, F32]:
        """The k best by exact cosine of the m nearest codes: ids and scores (nq, k), by both stages or at once."""
        if not isinstance(self.base, ListBackend) or not self.whole:
            return self.refine(q, self.recall(q, m, where)[0], k)
        found = self.base.search(q, m, k, where)
        if not len(self.delta):
            return found
        return merge(found, self.delta.rescore(q, self._hashed(self.delta, q, m, where)[0], k), k)

    def scan_pays(self, where: Filter | None, m: int) -> bool:
        """Whether comparing all vectors that may be found is no more work than a search for m candidates."""
        if where is None and self.whole:
            return False  # it goes past a few in a hundred of the codes
        in_place = self.base.in_place and len(self.delta) <= m  # a delta's rows are copied
        return scan_pays(where, len(self), m, in_place=in_place)

    def exact(self, q: F32, k: int, where: Filter | None) -> tuple[I64, F32]:
        """The k best of all vectors."""
        return merge(self.base.exact(q, k, where), self.delta.exact(q, k, where), k)

    def with_rows(self, ids: I64, rows: Rows) -> "LiveIndex":
        """This index with more (or newer) vectors in its delta."""
        delta = self.delta.copy()
        delta.upsert(ids, self.codec.quantize(rows[slice(None)]), rows, {})
        self.base.delete(ids)
        return LiveIndex(self.codec, self.base, delta, self.depths)

    def delete(self, ids: I64) -> int:
        """Take ids out of results; return how many were there."""
        return self.base.delete(ids) + self.delta.delete(ids)

    def __len__(self) -> int:
        return len(self.base) + len(self.delta)

    @property
    def ids(self) -> I64:
        """The ids that can be found (n,)."""
        return np.concatenate([self.base.ids, self.delta.ids])


@dataclass(frozen=True, slots=True)
class Version:
    """A loaded version: one encoder's fingerprint, one head, an index for each result modality.

    encoder_spec: as `load_encoder` takes it. head_id: None when nothing projects. store: of the encoder's embeddings,
    generation: of its shards; what a head projected lies in the version's own folder.
    """

    id: int
    published_at: float
    encoder_id: int
    encoder_spec: str
    fingerprint: str
    head_id: int | None
    head: Head
    store: EmbeddingStore
    indexes: dict[Modality, LiveIndex]
    watermark: int
    generation: int

    @classmethod
    def load(cls, catalog: Catalog, row: IndexVersion) -> "Version":
        """Load a published version. Raises ArtifactError when its files are incomplete, altered or gone."""
        try:
            return cls._load(catalog, row)
        except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            # files that went meanwhile, or a manifest of a foreign release, or of nobody's: FAISS checks widths
            raise ArtifactError(
                f"{catalog.home / row.folder} cannot be loaded ({error!r}): run `rebus doctor`"
            ) from None

    @classmethod
    def _load(cls, catalog: Catalog, row: IndexVersion) -> "Version":
        folder = catalog.home / row.folder
        manifest = read_manifest(folder)
        with catalog.session() as session:
            encoder = session.get_one(EncoderRow, row.encoder_id)
        if (manifest["encoder"], manifest.get("head")) != (encoder.fingerprint, row.head_id):
            raise ArtifactError(
                f"{folder} belongs to another encoder or head than the catalog says: run `rebus index` again"
            )
        head = load_head(catalog, row.head_id, encoder)
        store = store_of(catalog.home, encoder, row.generation, head)
        own = store if head.is_identity else EmbeddingStore(folder, head.aligner.dim)
        live = StoredRows.none(store) if head.is_identity else HeldRows.none(head.aligner.dim)
        indexes = {
            Modality(name): load_index(folder, name, facts, own, live) for name, facts in manifest["indexes"].items()
        }
        return cls(
            row.id,
            row.published_at,
            encoder.id,
            resolved_spec(catalog.home, encoder.spec),
            encoder.fingerprint,
            row.head_id,
            head,
            store,
            indexes,
            row.watermark,
            row.generation,
        )

    @classmethod
    def of_nothing(cls, catalog: Catalog, encoder: EncoderRow) -> "Version":
        """Number 0, which was never published: it holds nothing but what is taken in, all that the encoder embedded."""
        store, head = store_of(catalog.home, encoder, encoder.generation), Head.identity(dims_of(encoder))
        spec = resolved_spec(catalog.home, encoder.spec)
        return cls(0, 0.0, encoder.id, spec, encoder.fingerprint, None, head, store, {}, 0, encoder.generation)

    def placed(self, device: str) -> "Version":
        """This version, its indexes where `search.device` wants them. Raises ConfigError where that cannot be."""
        indexes = {
            modality: dataclasses.replace(index, base=placed(index.base, device))
            for modality, index in self.indexes.items()
        }
        return dataclasses.replace(self, indexes=indexes)

    def projected(self, rows: StoredRows, modality: Modality) -> Rows:
        """Embeddings as rows of the joint space: where they lie, or in memory when a head projects them."""
        return rows if self.head.is_identity else HeldRows(self.head.project(rows[slice(None)], modality))

    def empty_index(self, rows: Rows) -> LiveIndex:
        """An index for a modality that this version has none of, with hash codes fitted to the rows to come."""
        bits = next((index.delta.bits for index in self.indexes.values()), 256)
        codec, none = SignHash.fit(rows[slice(None)], bits), rows.take(_NOTHING)
        return LiveIndex(codec, FaissBackend(bits, none), FaissBackend(bits, none))


def store_of(home: Path, encoder: EncoderRow, generation: int, head: Head | None = None) -> EmbeddingStore:
    """A generation of an encoder's shards, as they are compared: imported features become unit rows as they are read.

    Not so for a head that projects: it reads them as they were imported.
    """
    raw = is_features(encoder.spec) and (head is None or head.is_identity)
    return EmbeddingStore(store_folder(home, encoder.fingerprint, generation), encoder.dim, raw=raw)


def load_head(catalog: Catalog, head_id: int | None, encoder: EncoderRow) -> Head:
    """A head of an encoder's by its id; no map for None. Raises ArtifactError when its files are not as they were."""
    if head_id is None:
        return Head.identity(dims_of(encoder))
    with catalog.session() as session:
        row = session.get(HeadRow, head_id)
    if row is None or row.encoder_id != encoder.id:
        raise ArtifactError(f"head {head_id} of this encoder is not in the catalog: choose another with `rebus heads`")
    try:
        return Head.load(catalog.home / row.folder)
    except ArtifactError as error:
        raise ArtifactError(
            f"head {head_id} is damaged ({error}): `rebus heads use 0` serves without it, `rebus train` fits another"
        ) from None


def load_index(folder: Path, name: str, facts: dict[str, Any], store: EmbeddingStore, live: Rows) -> LiveIndex:
    """One modality's index out of a folder, by what its manifest says.

    store: what the places point into. live: no rows, of the kind that the delta takes.
    """
    codec, bits = load_codec(folder, facts["codec"]), facts["bits"]
    if not isinstance(codec, SignHash):
        raise ArtifactError(f"{folder} hashes with codes of kind {codec.kind!r}: rebuild it")
    delta, depths = FaissBackend(bits, live), Depths(**facts["depths"]) if "depths" in facts else None
    if "scanned" not in facts or depths is None:
        return LiveIndex(codec, FaissBackend.load(folder, name, bits, store), delta, depths)
    fine = load_codec(folder, facts["scanned"])
    if isinstance(fine, SignHash):
        raise ArtifactError(f"{folder} scans codes of kind {fine.kind!r}: rebuild it")
    return LiveIndex(codec, ListBackend.load(folder, name, fine, store, depths), delta, depths)


def embeddings_after(
    catalog: Catalog, encoder_id: int, watermark: int, generation: int | None = None
) -> list[sa.Row[Any]]:
    """(embedding id, item id, modality, shard, row) of present items embedded after the watermark, ascending.

    generation: nothing is returned unless it is the one in use: the places of another lie in other shards.
    """
    query = sa.select(Embedding.id, Embedding.item_id, Item.modality, Embedding.shard, Embedding.row)
    query = query.join(Item, Item.id == Embedding.item_id).order_by(Embedding.id)
    query = query.where(*embedded_after(encoder_id, watermark))
    if generation is not None:
        query = query.join(EncoderRow, EncoderRow.id == Embedding.encoder_id)
        query = query.where(EncoderRow.generation == generation)
    with catalog.session() as session:
        return list(session.execute(query))


def words_of(catalog: Catalog) -> list[tuple[int, str]]:
    """(item id, words) of every present text item, by id: what a head that reads words itself projects."""
    query = sa.select(Caption.id, Caption.text).join(Item, Item.id == Caption.id)
    query = query.where(Item.removed_at.is_(None), Item.modality == Modality.TEXT).order_by(Caption.id)
    with catalog.session() as session:
        return [(row.id, row.text) for row in session.execute(query)]


def rows_by_modality(store: EmbeddingStore, found: Sequence[Any]) -> dict[Modality, tuple[I64, StoredRows]]:
    """Group rows of `embeddings_after` by modality, as item ids and lazy vectors."""
    grouped: dict[Modality, list[Any]] = {}
    for row in sorted(found, key=lambda row: row.item_id):  # ids that ascend need no table to be looked up in
        grouped.setdefault(Modality(row.modality), []).append(row)
    return {
        modality: (
            np.array([row.item_id for row in rows], np.int64),
            StoredRows(store, np.array([row.shard for row in rows]), np.array([row.row for row in rows])),
        )
        for modality, rows in grouped.items()
    }
