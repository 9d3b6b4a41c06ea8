"""What indexing did, as the command line says it."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from indexer.library import IndexReport


def index_facts(report: "IndexReport") -> dict[str, Any]:
    """As JSON values."""
    version = report.version
    return {
        "scans": [dataclasses.asdict(scan) for scan in report.scans],
        "embedded": report.embedded,
        "failures": report.failures,
        "encoder": report.encoder,
        "index_version": version.id if version else None,
        "items": version.counts if version else {},
    }


def print_index(report: "IndexReport", json_: bool, *, dry_run: bool = False) -> None:
    """As lines, or as JSON."""
    if json_:
        click.echo(json.dumps(index_facts(report), ensure_ascii=False, indent=1))
        return
    from engine.words import counted, plain

    for scan in report.scans:
        click.echo(
            f"{counted(scan.found, 'file')} found: {scan.added:,} new, {scan.changed:,} changed, "
            f"{scan.renamed:,} renamed or back, {scan.removed:,} removed."
        )
        for note in scan.notes:
            click.echo(f"Note: {plain(note)}")
    if dry_run:
        click.echo("Nothing was done: this was a dry run.")
        return
    if report.failures:
        click.echo(f"{counted(report.failures, 'file')} cannot be used: see `rebus status --failures`.")
    click.echo(_outcome(report))


def _outcome(report: "IndexReport") -> str:
    from indexer.choice import LARGER, is_starter

    if report.version is None:
        if report.encoder is not None:
            return "Nothing to publish: no picture could be embedded."
        return (
            "No encoder is chosen, so nothing can be searched. Choose one with `rebus index --encoder starter`, "
            "or train one on these captions with `rebus train --encoder`."
        )
    held = ", ".join(f"{count:,} {modality}" for modality, count in sorted(report.version.counts.items()))
    published = f"Version {report.version.id} is published with {held} items."
    return f"{published}\n{LARGER}" if report.embedded and is_starter(report.encoder) else published
