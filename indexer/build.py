"""Stored embeddings to a published version: project, quantize, index, write, publish."""

import shutil
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.artifacts import write_artifact
from engine.catalog import Catalog, EncoderRow, IndexVersion, Item, dims_of
from engine.codecs.hashing import SignHash
from engine.config import Config
from engine.heads import Head
from engine.index import FaissBackend
from engine.store import EmbeddingStore, StoredRows, store_folder
from engine.types import F32, I64, Modality
from engine.versions import embeddings_after, rows_by_modality
from indexer.jobs import Tell

GENERATIONS = 2  # versions kept: the one served, and the one before it
_SAMPLE, _BLOCK = 20_000, 16_384


def build(catalog: Catalog, config: Config, encoder: EncoderRow, tell: Tell) -> IndexVersion | None:
    """Publish a version of everything this encoder embedded; None when it embedded nothing."""
    found = embeddings_after(catalog, encoder.id, 0)
    if not found:
        return None
    row = write_version(catalog, config, encoder, encoder.generation, found, tell)
    with catalog.session() as session:
        session.add(row)
    _prune(catalog)
    return row


def write_version(
    catalog: Catalog,
    config: Config,
    encoder: EncoderRow,
    generation: int,
    found: Sequence[Any],
    tell: Tell,
) -> IndexVersion:
    """Write a version's folder; its row is published when the caller adds it.

    found: what `embeddings_after` gives, its places those of this generation of the encoder's shards.
    """
    store = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, generation), encoder.dim)
    head, groups = Head.identity(dims_of(encoder)), rows_by_modality(store, found)
    manifest: dict[str, Any] = {"encoder": encoder.fingerprint, "indexes": {}}
    with catalog.session() as session:
        number = (session.scalar(sa.select(sa.func.max(IndexVersion.id))) or 0) + 1
    folder = catalog.home / "versions" / f"{number:06d}"
    with write_artifact(folder, manifest) as temporary:
        for modality, (ids, rows) in groups.items():
            codec = SignHash.fit(_sample(head, rows, modality), config.codec.bits)
            backend = FaissBackend(config.codec.bits, StoredRows(store, np.empty(0), np.empty(0)))
            codes = []
            for block in _blocks(head, rows, modality):
                codes.append(codec.quantize(block))
                tell(f"indexing {modality}", min(len(codes) * _BLOCK, len(rows)), len(rows))
            backend.upsert(ids, np.concatenate(codes), rows, {})
            codec.save(temporary / f"{modality}.codec.safetensors")
            backend.save(temporary, modality)
            facts = {"kind": codec.kind, "file": f"{modality}.codec.safetensors"}
            manifest["indexes"][modality] = {"bits": config.codec.bits, "codec": facts}
    counts = {str(modality): len(ids) for modality, (ids, _) in groups.items()}
    row = IndexVersion(id=number, encoder_id=encoder.id, folder=str(folder.relative_to(catalog.home)), counts=counts)
    row.watermark, row.generation = found[-1].id, generation
    return row


def is_current(catalog: Catalog, encoder: EncoderRow) -> bool:
    """Whether the served version holds just what this encoder has embedded and the catalog still has."""
    version = catalog.current_version()
    if version is None or version.encoder_id != encoder.id or embeddings_after(catalog, encoder.id, version.watermark):
        return False
    removed = sa.select(sa.func.count()).select_from(Item).where(Item.removed_at > version.published_at)
    with catalog.session() as session:
        return not session.scalar(removed)


def _sample(head: Head, rows: StoredRows, modality: Modality) -> F32:
    chosen: I64 = np.sort(np.random.default_rng(0).permutation(len(rows))[:_SAMPLE])
    return head.project(rows[chosen], modality)


def _blocks(head: Head, rows: StoredRows, modality: Modality) -> Iterator[F32]:
    for start in range(0, len(rows), _BLOCK):
        yield head.project(rows[slice(start, start + _BLOCK)], modality)


def _prune(catalog: Catalog) -> None:
    """Drop versions past the kept generations: rows first, so that nothing points at a folder that is gone."""
    with catalog.session() as session:
        old = session.scalars(sa.select(IndexVersion).order_by(IndexVersion.id.desc()).offset(GENERATIONS)).all()
        kept = set(session.scalars(sa.select(IndexVersion.folder).order_by(IndexVersion.id.desc()).limit(GENERATIONS)))
        for row in old:
            session.delete(row)
    versions = catalog.home / "versions"
    for folder in versions.iterdir():
        if str(folder.relative_to(catalog.home)) not in kept:
            shutil.rmtree(folder, ignore_errors=True)
