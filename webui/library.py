"""The library's state for people and programs: counts, version, failures and jobs, without paths of this machine."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine import status
from engine.catalog import EncoderRow, IndexVersion
from webui.services import services


def public_status() -> dict[str, Any]:
    """What engine.status says, as JSON values. Folders are named without their parents."""
    facts = services().status.read()
    places = _places()
    return {
        **{key: value for key, value in facts.items() if key != "home"},
        "roots": [Path(root).name or root for root in facts["roots"]],
        "version": facts["version"] and _public(facts["version"]),
        "heads": [_head(head) for head in status.head_facts(services().catalog)],
        "jobs": [{**job, "message": _without(job["message"], places)} for job in facts["jobs"]],
        "failure_reasons": [{**row, "reason": _without(row["reason"], places)} for row in facts["failure_reasons"]],
    }


def public_version(version: IndexVersion, encoder: EncoderRow) -> dict[str, Any]:
    """A published version."""
    return _public(status.version_facts(version, encoder))


def _public(version: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in version.items() if key != "spec"}  # which may be a path


def _head(head: dict[str, Any]) -> dict[str, Any]:
    """What a page shows of a head. curve: whether training drew one."""
    shown = {key: head[key] for key in ("id", "method", "served", "created_at", "held_out", "seconds")}
    return {**shown, "curve": bool(head.get("curve"))}


def public_failures(limit: int, offset: int) -> list[dict[str, str]]:
    """The files that could not be used: path, stage, reason and hint of each."""
    rows = status.failures(services().catalog, limit, offset)
    places = _places()
    return [
        {**row, "root": Path(row["root"]).name, "reason": _without(row["reason"], places),
         "hint": _without(row["hint"], places)}
        for row in rows
    ]  # fmt: skip


def public_versions() -> list[dict[str, Any]]:
    """The versions that are kept, the served one first. newer: what came after each, which is searched beside it."""
    catalog = services().catalog
    with catalog.session() as session:
        encoders = {row.id: row for row in session.scalars(sa.select(EncoderRow))}
    return [
        {**public_version(row, encoders[row.encoder_id]), "newer": status.lacking(catalog, row)[0]}
        for row in catalog.versions()
    ]


def report_file() -> Path | None:
    """The last report of an evaluation, if there is one."""
    file = services().catalog.home / status.REPORT
    return file if file.is_file() else None


def working() -> dict[str, Any] | None:
    """The job that runs now, for the line on the search page."""
    return status.running_job(services().catalog)


def _places() -> list[str]:
    """What must not be shown, the longest first: one may lie in another."""
    roots = services().status.counts()["roots"]
    return sorted((str(services().catalog.home), *roots), key=len, reverse=True)


def _without(text: str, places: list[str]) -> str:
    for place in places:
        text = text.replace(place, Path(place).name)
    return text
