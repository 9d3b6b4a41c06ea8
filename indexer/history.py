"""What was published, and which versions are kept to go back to."""

import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.artifacts import read_manifest
from engine.catalog import Catalog, IndexVersion
from engine.errors import ArtifactError
from engine.status import lacking


def prune(catalog: Catalog, keep: int) -> list[int]:
    """Drop all but the `keep` versions whose turn was last; their numbers. The caller holds the write lock.

    Rows first, so that nothing points at a folder that is gone.
    """
    last = sa.select(IndexVersion.id).order_by(IndexVersion.turn.desc()).limit(keep).subquery()
    drop = sa.delete(IndexVersion).where(IndexVersion.id.not_in(sa.select(last.c.id))).returning(IndexVersion.id)
    with catalog.session() as session:
        dropped = sorted(session.scalars(drop))
        kept = set(session.scalars(sa.select(IndexVersion.folder)))
    versions = catalog.home / "versions"
    for folder in versions.iterdir() if versions.is_dir() else ():
        if str(folder.relative_to(catalog.home)) not in kept:
            shutil.rmtree(folder, ignore_errors=True)
    return dropped


def listed(catalog: Catalog) -> list[dict[str, Any]]:
    """Every kept version as JSON values, the one that is served first.

    newer: embeddings that came after it, which are searched beside it; removed: its items that are left out since;
    codes: what its manifest says of those that are searched, by modality.
    """
    found = []
    for number, row in enumerate(catalog.versions()):
        newer, removed = lacking(catalog, row)
        found.append(
            {
                "id": row.id,
                "served": number == 0,
                "published_at": row.published_at,
                "head": row.head_id,
                "encoder": row.encoder_id,
                "items": row.counts,
                "newer": newer,
                "removed": removed,
                "codes": _codes(catalog.home / row.folder),
                "bytes": sum(file.stat().st_size for file in (catalog.home / row.folder).glob("*")),
            }
        )
    return found


def _codes(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        indexes = read_manifest(folder, whole=False)["indexes"]
    except ArtifactError:  # `rebus doctor` names it
        return {}
    found = {name: facts.get("scanned", facts["codec"]) for name, facts in indexes.items()}
    return {name: {key: value for key, value in codec.items() if key != "file"} for name, codec in found.items()}
