"""What indexing did, as the command line says it."""

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from indexer.command_line import print_json

if TYPE_CHECKING:
    from indexer.encoder_training import TrainedEncoder
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
        print_json(index_facts(report))
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
    click.echo("\n".join([_outcome(report), *report.over_budget]))


def _outcome(report: "IndexReport") -> str:
    from indexer.bundled import NEWER, is_older, is_starter
    from indexer.choice import LARGER

    if report.version is None:
        if report.emptied:
            return "Nothing is left to search: all files of this library were removed."
        if report.encoder is not None:
            return "Nothing to publish: no picture could be embedded."
        return (
            "No encoder is chosen, so nothing can be searched. Choose one with `rebus index --encoder starter`, "
            "or train one on these captions with `rebus train --encoder`."
        )
    held = ", ".join(f"{count:,} {modality}" for modality, count in sorted(report.version.counts.items()))
    published = f"Version {report.version.id} is published with {held} items."
    if is_older(report.encoder):
        return f"{published}\n{NEWER}"
    return f"{published}\n{LARGER}" if report.first and is_starter(report.encoder) else published


def print_encoder(trained: "TrainedEncoder", report: "IndexReport", json_: bool) -> None:
    """What training an encoder did, and what came of it, as lines or as JSON."""
    published = trained.verdict.better
    if json_:
        print_json({"training": trained.facts, "published": published, **index_facts(report)})
        return
    training, best, start = trained.report, trained.report.best, trained.start
    click.echo(
        f"Trained {training.done} epochs in {training.seconds / 60:.1f} minutes. Held-out recall at 10: text to image "
        f"{best['t2i_r10']:.3f} ({start['t2i_r10']:.3f} before training), image to text {best['i2t_r10']:.3f} "
        f"({start['i2t_r10']:.3f})."
    )
    for rival, facts in trained.verdict.against.items():
        low, high = facts["interval"]
        click.echo(
            f"Against {rival}, both averaged: {facts['difference']:+.3f} (95 % interval {low:+.3f} to {high:+.3f})."
        )
    if published:
        print_index(report, json_=False)
        return
    click.echo(f"Kept the present model, and published nothing: of the fitted weights, {trained.verdict.why}.")
    if trained.folder is not None:
        click.echo(f"They are in {trained.folder}: `rebus index --encoder` with that folder embeds all with them.")
    else:
        click.echo("Lower train.learning_rate, give it more captioned pictures, or fit a head: `rebus train`.")
