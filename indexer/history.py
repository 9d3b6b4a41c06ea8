"""What was published, and which versions are kept to go back to."""

import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.artifacts import read_manifest
from engine.catalog import Catalog, IndexVersion
from engine.errors import ArtifactError
from engine.status import lacking
from engine.words import readable_bytes

_UNITS = ((10**6, "MB"), (10**3, "kB"), (1, "B"))  # as --memory reads them


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


def over_budget(catalog: Catalog, version: IndexVersion) -> list[str]:
    """What to say of a version that takes more memory than the plan that it was built by allows; else nothing."""
    try:
        plan = read_manifest(catalog.home / version.folder, whole=False).get("plan", {})
    except ArtifactError:  # `rebus doctor` names it
        return []
    memory = plan.get("memory")
    if memory is None or plan["bytes"] <= memory:
        return []
    wanted = next(f"{memory // size}{unit}" for size, unit in _UNITS if memory % size == 0)
    return [
        f"Version {version.id} takes {readable_bytes(plan['bytes'])} of memory, and was planned for "
        f"{readable_bytes(memory)}: `rebus build --memory {wanted} --recall {plan['recall']}` plans anew."
    ]


def _codes(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        indexes = read_manifest(folder, whole=False)["indexes"]
    except ArtifactError:  # `rebus doctor` names it
        return {}
    found = {name: facts.get("scanned", facts["codec"]) for name, facts in indexes.items()}
    return {name: {key: value for key, value in codec.items() if key != "file"} for name, codec in found.items()}
