"""Stored embeddings to a published version: project, quantize, index, write, publish."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.artifacts import read_manifest, write_artifact
from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.codecs import Codec
from engine.codecs.vq import AdditiveCode
from engine.config import CodecSettings, Config
from engine.errors import ArtifactError, NotReady
from engine.index import write_rows
from engine.status import lacking
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import F32, Modality
from engine.versions import embeddings_after, load_head, load_index, store_of, words_of
from indexer.codecs.additive import perplexity
from indexer.codecs.fit import depth_facts, fit_codes, trains
from indexer.evaluation.memory import resident_bytes
from indexer.history import prune
from indexer.jobs import Tell
from indexer.sources import Source, blocks, queries_for, sources_of

Asking = Callable[[], tuple[F32 | None, F32 | None]]  # queries to train on, and those held out
_SMALL, _DELTA = 10_000, 0.1  # items of a version that is always built anew; the share of them that a delta may have


@dataclass(frozen=True, slots=True)
class Recipe:
    """What codes to make, and the recall that their depths are measured for.

    planned: by `rebus build --memory`, for so many bytes of memory, where that is known.
    """

    codec: CodecSettings
    recall: float
    planned: bool = False
    memory: int | None = None

    @classmethod
    def of(cls, catalog: Catalog, config: Config) -> "Recipe":
        """The plan that the served version was built by; without one, what the settings say."""
        served = catalog.current_version()
        try:
            plan = read_manifest(catalog.home / served.folder).get("plan") if served else None
        except ArtifactError:  # a damaged version plans nothing
            plan = None
        if plan is None:
            return cls(config.codec, config.search.recall)
        return cls(CodecSettings(**plan["codec"]), plan["recall"], True, plan.get("memory"))


def served_encoder(catalog: Catalog) -> EncoderRow:
    """The encoder of what is served. Raises NotReady when nothing is."""
    served = catalog.current_version()
    if served is None:
        raise NotReady("this library has no index yet: run `rebus index FOLDER`")
    with catalog.session() as session:
        return session.get_one(EncoderRow, served.encoder_id)


def build(
    catalog: Catalog,
    config: Config,
    encoder: EncoderRow,
    tell: Tell,
    head_id: int | None | EllipsisType = ...,
    recipe: Recipe | None = None,
) -> IndexVersion | None:
    """Publish a version of everything this encoder embedded; None when it embedded nothing.

    head_id: what projects, None for nothing; left out, what the served version of this encoder has. recipe: left out,
    that of the served version. Raises ArtifactError when that head is damaged.
    """
    found = embeddings_after(catalog, encoder.id, 0)
    if not found:
        return None
    served = catalog.current_version()
    if head_id is ...:
        head_id = served.head_id if served and served.encoder_id == encoder.id else None
    row = write_version(catalog, config, encoder, encoder.generation, found, tell, head_id, recipe)
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
    recipe: Recipe | None = None,
) -> IndexVersion:
    """Write a version's folder; its row is published when the caller adds it.

    found: what `embeddings_after` gives, its places those of this generation of the encoder's shards.
    """
    recipe = recipe or Recipe.of(catalog, config)
    head = load_head(catalog, head_id, encoder)
    store = store_of(catalog.home, encoder, generation, head)
    sources = sources_of(catalog, head, store, found)
    manifest: dict[str, Any] = {"encoder": encoder.fingerprint, "head": head_id, "indexes": {}}
    if recipe.planned:
        manifest["plan"] = {"codec": asdict(recipe.codec), "recall": recipe.recall}
    with catalog.session() as session:
        number = (session.scalar(sa.select(sa.func.max(IndexVersion.id))) or 0) + 1
    folder = catalog.home / "versions" / f"{number:06d}"
    with write_artifact(folder, manifest) as temporary:
        own = EmbeddingStore(temporary, head.aligner.dim, summed=False)
        for modality, source in sources.items():
            told = partial(tell, f"indexing {modality}")
            queries = partial(queries_for, catalog, head, modality, sources)
            manifest["indexes"][modality] = write_index(temporary, modality, source, queries, own, recipe, told)
        if recipe.memory is not None:
            held = [_held(temporary, one, manifest["indexes"][one], source, own) for one, source in sources.items()]
            manifest["plan"] |= {"memory": recipe.memory, "bytes": sum(held)}
    counts = {str(modality): len(source.ids) for modality, source in sources.items()}
    row = IndexVersion(id=number, encoder_id=encoder.id, folder=str(folder.relative_to(catalog.home)), counts=counts)
    row.watermark, row.generation, row.head_id = found[-1].id, generation, head_id
    return row


def write_index(
    folder: Path, modality: Modality, source: Source, queries: Asking,
    own: EmbeddingStore, recipe: Recipe, told: Callable[[int, int], None],
) -> dict[str, Any]:  # fmt: skip
    """Write one modality's codes, ids and places; return what the manifest says of them.

    queries: what will ask for it. own: where rows are kept that lie nowhere yet.
    """
    count, codec = len(source.ids), recipe.codec
    asking, held = queries() if trains(codec, count) or recipe.planned else (None, None)
    hashes, fine = fit_codes(codec, source.read, count, asking)
    facts: dict[str, Any] = {"bits": codec.bits, "codec": _saved(hashes, folder, f"{modality}.codec.safetensors")}
    if fine is not None:
        facts["scanned"] = _saved(fine, folder, f"{modality}.codes.safetensors")
    codes, kept = [], source.kept or StoredRows.none(own)
    for positions in blocks(count):
        rows = source.read(positions)
        codes.append((fine or hashes).quantize(rows))
        if source.kept is None:
            kept = kept.extended(StoredRows(own, *own.append(rows)))
        told(int(positions[-1]) + 1, count)
    written = np.concatenate(codes)
    write_rows(folder, modality, source.ids, written, kept)
    if isinstance(fine, AdditiveCode):
        facts["scanned"] |= {"perplexity": perplexity(written), "restarted": fine.restarted}
    if fine is not None or recipe.planned:
        facts |= depth_facts(folder, modality, fine or hashes, kept.store, held, recipe.recall)
    return facts


def _held(folder: Path, modality: Modality, facts: dict[str, Any], source: Source, own: EmbeddingStore) -> int:
    """Bytes of memory that one modality's index takes, as it was written."""
    store = source.kept.store if source.kept is not None else own
    return resident_bytes(load_index(folder, modality, facts, store, HeldRows.none(store.dim)))


def _saved(codec: Codec, folder: Path, name: str) -> dict[str, Any]:
    codec.save(folder / name)
    return {"kind": codec.kind, "file": name, "bytes": codec.code_size}


def is_current(catalog: Catalog, encoder: EncoderRow, *, wholly: bool = False) -> bool:
    """Whether what is served need not be built anew: it is this encoder's, and its delta is small beside it.

    What is lacking is searched all the same, embedding by embedding. A library of a few thousand items is built in the
    time that a search takes, so nothing may be lacking there. wholly: nothing may be lacking at all.
    """
    version = catalog.current_version()
    if version is None or version.encoder_id != encoder.id:
        return False
    held = sum(version.counts.values())
    if sum(lacking(catalog, version)) > (0 if wholly else delta_limit(held)):
        return False
    reads_words = version.head_id is not None and load_head(catalog, version.head_id, encoder).texts is not None
    return not reads_words or version.counts.get(Modality.TEXT, 0) == len(words_of(catalog))


def delta_limit(held: int) -> float:
    """How many items a version of so many may lack before another is built."""
    return 0 if held < _SMALL else held * _DELTA
