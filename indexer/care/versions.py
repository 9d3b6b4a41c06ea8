"""Examine the published versions: their files, their encoders, and the shards that their places point into."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.artifacts import read_manifest
from engine.catalog import Catalog, Embedding, EncoderRow, IndexVersion
from engine.errors import ArtifactError
from engine.store import SHARD_ROWS, EmbeddingStore, store_folder
from indexer.care.findings import Finding, note, ok, problem
from indexer.care.leftovers import bytes_of, remove, temporary_files, unnamed_folders


def examine_versions(catalog: Catalog) -> Iterator[Finding]:
    """Every version that the catalog names; the one to be served first."""
    with catalog.session() as session:
        query = sa.select(IndexVersion, EncoderRow).join(EncoderRow, EncoderRow.id == IndexVersion.encoder_id)
        versions = session.execute(query.order_by(IndexVersion.turn.desc())).all()
        embedded = session.scalar(sa.select(sa.func.count()).select_from(Embedding)) or 0
    for row, encoder in versions:
        try:
            check_version(catalog, row, encoder)
        except ArtifactError as error:
            yield problem(
                f"version {row.id} is damaged: {error}",
                "drop it (--repair): a good one is served in its place, or built from the embeddings",
                partial(drop_version, catalog, row),
                stale=True,
            )
        else:
            yield ok(f"version {row.id} is whole: {sum(row.counts.values()):,} items")
    if not versions and embedded:
        yield note(f"{embedded:,} embeddings, and no version is published", "publish one with `rebus index`")


def check_version(catalog: Catalog, row: IndexVersion, encoder: EncoderRow) -> None:
    """Raise ArtifactError when the version cannot be served as it was published."""
    parts = PurePosixPath(row.folder).parts
    if len(parts) != 2 or parts[0] != "versions" or parts[1] in ("..", "."):
        raise ArtifactError(f"{row.folder!r} is no folder of versions")
    folder = catalog.home / row.folder
    manifest = read_manifest(folder)
    if manifest.get("encoder") != encoder.fingerprint:
        raise ArtifactError(f"{folder} belongs to another encoder than the catalog says")
    if manifest.get("head") != row.head_id:
        raise ArtifactError(f"{folder} was projected by another head than the catalog says")
    store = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, row.generation), encoder.dim)
    if row.head_id is not None:
        from engine.versions import load_head  # torch: only where a head is used

        store = EmbeddingStore(folder, load_head(catalog, row.head_id, encoder).aligner.dim)
    whole = store.whole_rows()
    for name in manifest.get("indexes", {}):
        last = _last_place(folder, str(name), manifest["files"])
        if last >= whole:
            raise ArtifactError(f"{folder} points to row {last:,} of {store.folder}, which holds {whole:,}")


def _last_place(folder: Path, name: str, files: dict[str, Any]) -> int:
    """The furthest place that an index points to (see FaissBackend.save), -1 when it is empty."""
    parts = [f"{name}.{part}.npy" for part in ("shards", "rows")]
    if any(part not in files for part in parts):
        raise ArtifactError(f"{folder} holds no places of {name}")
    try:
        shards, rows = (np.load(folder / part, allow_pickle=False).astype(np.int64) for part in parts)
        return int((shards * SHARD_ROWS + rows).max(initial=-1))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder} cannot be read: {error}") from None


def drop_version(catalog: Catalog, row: IndexVersion) -> None:
    """Forget a version, then delete its folder."""
    with catalog.session() as session:
        session.execute(sa.delete(IndexVersion).where(IndexVersion.id == row.id))
    for folder in unnamed_folders(catalog):
        if folder == catalog.home / row.folder:
            remove(folder)


def examine_leftovers(catalog: Catalog) -> Iterator[Finding]:
    """Folders and temporary files that nothing names."""
    found = [*unnamed_folders(catalog), *temporary_files(catalog.home)]
    if not found:
        yield ok("nothing lies about that is not named")
        return
    size = sum(map(bytes_of, found))
    names = ", ".join(str(path.relative_to(catalog.home)) for path in found[:3]) + (" …" if len(found) > 3 else "")
    what = f"{len(found):,} leftovers of killed runs or replaced versions, {size / 2**20:,.1f} MiB: {names}"
    yield note(what, "remove them (--repair, or `rebus gc`)", lambda: remove_unnamed(catalog))


def remove_unnamed(catalog: Catalog) -> None:
    """Delete what no row names. The holder of the write lock calls this."""
    for folder in unnamed_folders(catalog):
        remove(folder)
