"""What a library holds, in numbers: for the command line and the status page. Imports nothing heavy."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, EncoderRow, Failure, IndexVersion, Item, Job, Root

_PLACE_BYTES = 16  # of an item in a version: its id and its place
_ROW_BYTES = 96  # of an embedding's row in the catalog, with its indexes


def summarize(catalog: Catalog) -> dict[str, Any]:
    """Counts, the version served, the last jobs and bytes on the disk, as JSON values."""
    version = catalog.current_version()
    with catalog.session() as session:
        present = sa.select(Item.modality, sa.func.count()).where(Item.removed_at.is_(None)).group_by(Item.modality)
        counts = {modality: count for modality, count in session.execute(present)}
        total = session.scalar(sa.select(sa.func.count()).select_from(Item).where(Item.removed_at.is_(None))) or 0
        embedded = _embedded(session, version.encoder_id) if version else 0
        encoder = session.get(EncoderRow, version.encoder_id) if version else None
        return {
            "home": str(catalog.home),
            "roots": list(session.scalars(sa.select(Root.path).order_by(Root.id))),
            "items": counts,
            "pending": total - embedded,
            "failures": session.scalar(sa.select(sa.func.count()).select_from(Failure)) or 0,
            "version": _version(version, encoder) if version and encoder else None,
            "jobs": [_job(job) for job in session.scalars(sa.select(Job).order_by(Job.id.desc()).limit(10))],
            "disk_bytes": _disk_bytes(catalog.home),
        }


def failures(catalog: Catalog, limit: int = 1000, offset: int = 0) -> list[dict[str, str]]:
    """Files that could not be used, by path: root, path, stage, reason, hint."""
    query = sa.select(Failure, Root.path).join(Root, Root.id == Failure.root_id)
    query = query.order_by(Root.path, Failure.path).limit(limit).offset(offset)
    with catalog.session() as session:
        return [
            {"root": root, "path": row.path, "stage": row.stage, "reason": row.reason, "hint": row.hint}
            for row, root in session.execute(query)
        ]


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """Bytes that embedding some items will take, and bytes free on the library's disk."""

    items: int
    bytes: int
    free: int


def disk_needed(catalog: Catalog, dim: int, bits: int, encoder_id: int | None = None) -> DiskNeed:
    """What it takes to embed the present items and publish them, with embeddings of `dim` and codes of `bits`.

    encoder_id: leave out what this encoder has embedded already. A version is counted once for the one that is built
    and once for the one it replaces.
    """
    query = sa.select(sa.func.count()).select_from(Item).where(Item.removed_at.is_(None))
    if encoder_id is not None:
        done = sa.select(Embedding.id).where(Embedding.item_id == Item.id, Embedding.encoder_id == encoder_id)
        query = query.where(~done.exists())
    with catalog.session() as session:
        items = session.scalar(query) or 0
    size = items * (2 * dim + 2 * (bits // 8 + _PLACE_BYTES) + _ROW_BYTES)
    return DiskNeed(items, size, shutil.disk_usage(catalog.home).free)


def _disk_bytes(home: Path) -> int:
    """Bytes of the files under the home. A file may go while they are counted: a running index makes temporaries."""
    total = 0
    for folder, _, names in os.walk(home):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _embedded(session: Any, encoder_id: int) -> int:
    query = sa.select(sa.func.count()).select_from(Embedding).join(Item, Item.id == Embedding.item_id)
    query = query.where(Embedding.encoder_id == encoder_id, Item.removed_at.is_(None))
    return int(session.scalar(query) or 0)


def _version(version: IndexVersion, encoder: EncoderRow) -> dict[str, Any]:
    return {
        "id": version.id,
        "encoder": encoder.spec if encoder.spec.startswith("open_clip:") else Path(encoder.spec).name,
        "spec": encoder.spec,
        "fingerprint": encoder.fingerprint,
        "published_at": version.published_at,
        "counts": version.counts,
    }


def _job(job: Job) -> dict[str, Any]:
    fields = ("id", "kind", "state", "done", "total", "message", "started_at", "finished_at")
    return {name: getattr(job, name) for name in fields}
