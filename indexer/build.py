"""Stored embeddings to a published version: project, quantize, index, write, publish."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import EllipsisType
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.artifacts import write_artifact
from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.codecs.hashing import SignHash
from engine.config import Config
from engine.heads import Head
from engine.index import FaissBackend
from engine.status import lacking
from engine.store import EmbeddingStore, StoredRows, store_folder
from engine.types import F32, I64, Modality
from engine.versions import embeddings_after, load_head, rows_by_modality, words_of
from indexer.history import prune
from indexer.jobs import Tell

_SAMPLE, _BLOCK = 20_000, 16_384
_SMALL, _DELTA = 10_000, 0.1  # items of a version that is always built anew; the share of them that a delta may have


@dataclass(frozen=True, slots=True)
class _Source:
    """One modality of a version to be.

    ids: its items (n,). read: positions to their rows (k, d) in the joint space. kept: where these lie already, when
    nothing projects; else the version keeps rows of its own.
    """

    ids: I64
    read: Callable[[I64], F32]
    kept: StoredRows | None = None


def build(
    catalog: Catalog, config: Config, encoder: EncoderRow, tell: Tell, head_id: int | None | EllipsisType = ...
) -> IndexVersion | None:
    """Publish a version of everything this encoder embedded; None when it embedded nothing.

    head_id: what projects, None for nothing; left out, what the served version of this encoder has. Raises
    ArtifactError when that head is damaged.
    """
    found = embeddings_after(catalog, encoder.id, 0)
    if not found:
        return None
    served = catalog.current_version()
    if head_id is ...:
        head_id = served.head_id if served and served.encoder_id == encoder.id else None
    row = write_version(catalog, config, encoder, encoder.generation, found, tell, head_id)
    if served and (served.encoder_id, served.head_id) == (encoder.id, head_id):
        row.calibration = served.calibration
    with catalog.session() as session:
        session.add(row)
    prune(catalog, config.index.keep_versions)
    return row


def write_version(
    catalog: Catalog,
    config: Config,
    encoder: EncoderRow,
    generation: int,
    found: Sequence[Any],
    tell: Tell,
    head_id: int | None = None,
) -> IndexVersion:
    """Write a version's folder; its row is published when the caller adds it.

    found: what `embeddings_after` gives, its places those of this generation of the encoder's shards.
    """
    store = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, generation), encoder.dim)
    head = load_head(catalog, head_id, encoder)
    sources = _sources(catalog, head, store, found)
    manifest: dict[str, Any] = {"encoder": encoder.fingerprint, "head": head_id, "indexes": {}}
    with catalog.session() as session:
        number = (session.scalar(sa.select(sa.func.max(IndexVersion.id))) or 0) + 1
    folder = catalog.home / "versions" / f"{number:06d}"
    with write_artifact(folder, manifest) as temporary:
        own = EmbeddingStore(temporary, head.aligner.dim)
        for modality, source in sources.items():
            codec = SignHash.fit(source.read(_sample(len(source.ids))), config.codec.bits)
            codes, kept = [], source.kept or StoredRows.none(own)
            for positions in _blocks(len(source.ids)):
                rows = source.read(positions)
                codes.append(codec.quantize(rows))
                if source.kept is None:
                    kept = kept.extended(StoredRows(own, *own.append(rows)))
                tell(f"indexing {modality}", int(positions[-1]) + 1, len(source.ids))
            backend = FaissBackend(config.codec.bits, StoredRows.none(kept.store))
            backend.upsert(source.ids, np.concatenate(codes), kept, {})
            codec.save(temporary / f"{modality}.codec.safetensors")
            backend.save(temporary, modality)
            facts = {"kind": codec.kind, "file": f"{modality}.codec.safetensors"}
            manifest["indexes"][modality] = {"bits": config.codec.bits, "codec": facts}
    counts = {str(modality): len(source.ids) for modality, source in sources.items()}
    row = IndexVersion(id=number, encoder_id=encoder.id, folder=str(folder.relative_to(catalog.home)), counts=counts)
    row.watermark, row.generation, row.head_id = found[-1].id, generation, head_id
    return row


def _sources(catalog: Catalog, head: Head, store: EmbeddingStore, found: Sequence[Any]) -> dict[Modality, _Source]:
    """What a version holds: the embeddings found, and all the captions' words when the head reads these itself."""
    sources: dict[Modality, _Source] = {}
    for modality, (ids, rows) in rows_by_modality(store, found).items():
        if modality is not Modality.TEXT or head.texts is None:
            sources[modality] = _Source(
                ids, partial(_project, head, modality, rows), rows if head.is_identity else None
            )
    words = words_of(catalog) if head.texts is not None else []
    if words:
        ids, texts = np.array([item for item, _ in words], np.int64), [text for _, text in words]
        sources[Modality.TEXT] = _Source(ids, lambda positions: head.project_texts([texts[i] for i in positions]))
    return sources


def _project(head: Head, modality: Modality, rows: StoredRows, positions: I64) -> F32:
    return head.project(rows[positions], modality)


def is_current(catalog: Catalog, encoder: EncoderRow, *, wholly: bool = False) -> bool:
    """Whether what is served need not be built anew: it is this encoder's, and its delta is small beside it.

    What is lacking is searched all the same, embedding by embedding. A library of a few thousand items is built in the
    time that a search takes, so nothing may be lacking there. wholly: nothing may be lacking at all.
    """
    version = catalog.current_version()
    if version is None or version.encoder_id != encoder.id:
        return False
    held = sum(version.counts.values())
    if sum(lacking(catalog, version)) > (0 if wholly or held < _SMALL else held * _DELTA):
        return False
    reads_words = version.head_id is not None and load_head(catalog, version.head_id, encoder).texts is not None
    return not reads_words or version.counts.get(Modality.TEXT, 0) == len(words_of(catalog))


def _sample(count: int) -> I64:
    return np.sort(np.random.default_rng(0).permutation(count)[:_SAMPLE])


def _blocks(count: int) -> Iterator[I64]:
    for start in range(0, count, _BLOCK):
        yield np.arange(start, min(start + _BLOCK, count))
