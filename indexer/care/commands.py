"""The commands that care for a library, for the front door. Each imports what it needs when it runs."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.command_line import as_json, print_json, settings

if TYPE_CHECKING:
    from indexer.care.collect import Collected

FILE = click.Path(path_type=Path)


@click.command()
@click.option("--deep", is_flag=True, help="Read every embedding, and load the encoders.")
@click.option("--repair", "mend", is_flag=True, help="Do the repairs that are safe.")
@as_json
@click.pass_context
def doctor(context: click.Context, deep: bool, mend: bool, json_: bool) -> None:
    """Examine the library, and name the repair of what is wrong. Ends with 1 when there is a problem."""
    from engine.words import plain
    from indexer.care.doctor import examine, facts, healthy, lines, repair
    from indexer.progress import Progress

    config = settings(context)
    with Progress() as progress:
        findings = repair(config, deep, progress.tell) if mend else examine(config, deep)
    if json_:
        print_json({"healthy": healthy(findings), "findings": facts(findings)})
    else:
        click.echo("\n".join(map(plain, lines(findings))))
    if not healthy(findings):
        sys.exit(1)


@click.command()
@click.argument("file", type=FILE, metavar="FILE.tar")
@click.option("--no-thumbs", is_flag=True, help="Leave the thumbnails out: they are made again when they are needed.")
@as_json
@click.pass_context
def backup(context: click.Context, file: Path, no_thumbs: bool, json_: bool) -> None:
    """Write the whole library, without the media, to one file; it may be indexed and served meanwhile."""
    from indexer.care.backup import backup as run
    from indexer.progress import Progress

    with Progress() as progress:
        report = run(settings(context), file, progress.tell, thumbnails=not no_thumbs)
    if json_:
        print_json(dataclasses.asdict(report))
    else:
        click.echo(f"{report.files:,} files, {report.bytes / 2**20:,.1f} MiB, are in {report.file}.")


@click.command()
@click.argument("file", type=FILE, metavar="FILE.tar")
@click.option("--to", "target", type=FILE, required=True, metavar="HOME", help="The new home: empty, or not there yet.")
@as_json
def restore(file: Path, target: Path, json_: bool) -> None:
    """Make a library from a backup, whole or not at all."""
    from engine.words import plain
    from indexer.care.restore import restore as run
    from indexer.progress import Progress

    with Progress() as progress:
        report = run(file, target, progress.tell)
    if json_:
        print_json(dataclasses.asdict(report))
        return
    click.echo(f"{report.files:,} files, {report.bytes / 2**20:,.1f} MiB, are at {report.home}.")
    folders = plain(", ".join(report.roots)) or "none"
    click.echo(f"Its folders are {folders}; `rebus relocate OLD NEW` where one lies elsewhere.")


@click.command()
@click.argument("old", type=FILE, metavar="OLD")
@click.argument("new", type=FILE, metavar="NEW")
@as_json
@click.pass_context
def relocate(context: click.Context, old: Path, new: Path, json_: bool) -> None:
    """Say that the media folder OLD lies at NEW now. Nothing is read again."""
    from engine.words import plain
    from indexer.care.relocate import relocate as run

    report = run(settings(context), old, new, lambda *_: None)
    if json_:
        print_json(dataclasses.asdict(report))
    else:
        there = f"{report.found:,} of {report.looked_for:,} files that were looked for are there"
        click.echo(f"{report.files:,} files are at {plain(report.root)} now: {there}.")


@click.command()
@click.option(
    "--older-than", "days", type=click.FloatRange(0), default=0.0, metavar="DAYS", help="Removed so long ago."
)
@click.option("--encoders", is_flag=True, help="Also drop the embeddings of encoders that no kept version uses.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@as_json
@click.pass_context
def gc(context: click.Context, days: float, encoders: bool, dry_run: bool, json_: bool) -> None:
    """Forget removed files for good, and free what the library can do without."""
    from indexer.care.collect import collect
    from indexer.progress import Progress

    with Progress() as progress:
        report = collect(settings(context), progress.tell, older_than_days=days, encoders=encoders, dry_run=dry_run)
    if json_:
        print_json({"dry_run": dry_run, **dataclasses.asdict(report)})
    else:
        _print_collected(report, "would be " if dry_run else "")


def _print_collected(report: "Collected", would: str) -> None:
    from engine.words import counted

    counts = {
        "removed item": report.items,
        "embedding": report.rows,
        "thumbnail": report.thumbnails,
        "leftover": report.leftovers,
    }
    went = [counted(count, name) for name, count in counts.items() if count]
    went += [f"the embeddings of {spec}" for spec in report.encoders]
    click.echo(f"{report.bytes / 2**20:,.1f} MiB {would}freed: {', '.join(went) or 'there is nothing to free'}.")
    if report.dead:
        click.echo(f"{report.dead:,} rows of embeddings are dead, too few yet to be worth compacting.")
    for text in report.notes:
        click.echo(f"Note: {text}")


COMMANDS = (doctor, backup, restore, relocate, gc)
