"""The command that imports features, for the front door. It imports what it needs when it runs."""

import dataclasses
from pathlib import Path

import click

from indexer.command_line import as_json, print_json, settings

FILE = click.Path(path_type=Path)


@click.command(name="import")
@click.argument("folder", required=False, type=FILE)
@click.option("--images", type=FILE, metavar="FILE.npy", help="Image features, a row a picture.")
@click.option("--names", type=FILE, metavar="FILE.txt", help="The pictures' names, a line a row.")
@click.option("--captions", type=FILE, metavar="FILE", help="Captions by picture or row: .jsonl, .csv, .parquet.")
@click.option("--texts", type=FILE, metavar="FILE.npy", help="Text features, in the order of the captions.")
@click.option("--owners", type=FILE, metavar="FILE.npy", help="Of each row of text features, the row of its picture.")
@click.option("--media", type=FILE, metavar="FOLDER", help="Where the pictures lie, if they are to be shown.")
@click.option("--name", metavar="NAME", help="What to call the features; imports of one name share a space.")
@click.option("--encoder", "model", metavar="SPEC", help="The open_clip model that made them, to encode queries with.")
@as_json
@click.pass_context
def import_(
    context: click.Context,
    folder: Path | None,
    images: Path | None,
    names: Path | None,
    captions: Path | None,
    texts: Path | None,
    owners: Path | None,
    media: Path | None,
    name: str | None,
    model: str | None,
    json_: bool,
) -> None:
    """Take in features that were computed elsewhere, with their captions; again, what changed since."""
    from indexer.imports.layouts import Files
    from indexer.imports.run import import_features
    from indexer.progress import Progress

    if folder is None and images is None:
        raise click.UsageError("name a folder that holds features, or a file of them with --images")
    place = folder or (images or Path()).parent
    config = settings(context)
    with Progress() as progress:
        files = Files(place, images, names, captions, texts, owners, media)
        report = import_features(config, files, progress.tell, name=name, model=model)
    from engine.words import plain

    version = report.version
    if json_:
        facts = {each.name: getattr(report, each.name) for each in dataclasses.fields(report) if each.name != "version"}
        facts |= {"index_version": version.id if version else None, "items": version.counts if version else {}}
        print_json(facts)
        return
    click.echo(
        f"{report.pictures:,} pictures with features and {report.captions:,} captions: {report.added:,} pictures new, "
        f"{report.back:,} back, {report.removed:,} removed, {report.vectors:,} vectors written."
    )
    for note in report.notes:
        click.echo(f"Note: {plain(note)}.")
    if version:
        advice = " Learn from it with `rebus train`." if report.captions else ""
        click.echo(f"Version {version.id} is published.{advice}")
