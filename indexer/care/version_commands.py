"""`rebus versions`, for the front door. It imports what it needs when it runs."""

import json
import time
from typing import TYPE_CHECKING, Any

import click

from indexer.command_line import as_json, print_json, settings

if TYPE_CHECKING:
    from engine.catalog import Catalog, IndexVersion


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def versions(context: click.Context, json_: bool) -> None:
    """List the published versions that are kept; go back with `rollback`, choose with `use`, drop with `prune`."""
    if context.invoked_subcommand is not None:
        return
    from indexer.history import listed

    found = listed(_catalog(context))
    if json_:
        print_json({"versions": found})
    for facts in [] if json_ else found:
        click.echo("\n".join([_line(facts), *_of_codebooks(facts["codes"])]))
    if not found and not json_:
        click.echo("No version is published yet: `rebus index FOLDER` publishes one.")


def _line(facts: dict[str, Any]) -> str:
    from engine.words import readable_bytes

    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts["published_at"]))
    held = ", ".join(f"{count:,} {modality}" for modality, count in sorted(facts["items"].items()))
    beside = [f"{facts['newer']:,} newer beside it"] * bool(facts["newer"])
    beside += [f"{facts['removed']:,} removed since"] * bool(facts["removed"])
    head = f"head {facts['head']}" if facts["head"] else "no head"
    state = "served" if facts["served"] else "kept"
    size = readable_bytes(facts["bytes"])
    return f"{facts['id']:>4}  {state:<6}  {day}  {size:>9}  {head:<8}  {', '.join([held or 'nothing', *beside])}"


def _of_codebooks(codes: dict[str, dict[str, Any]]) -> list[str]:
    """Lines about codes whose codebooks were trained as those of a VQ-VAE."""
    return [
        f"{'':14}{facts['kind']} codes of {modality}: perplexity {facts['perplexity']:.1f} of 256, "
        f"{facts['restarted']:,} codewords set anew in training"
        for modality, facts in sorted(codes.items())
        if "perplexity" in facts
    ]


@versions.command()
@click.argument("version", type=int, metavar="N")
@as_json
@click.pass_context
def use(context: click.Context, version: int, json_: bool) -> None:
    """Serve version N, in every process, from the next search on."""
    from engine.turns import choose

    catalog = _catalog(context)
    _say(context, catalog, choose(catalog, version), json_)


@versions.command()
@as_json
@click.pass_context
def rollback(context: click.Context, json_: bool) -> None:
    """Serve the version before the present one."""
    from engine.turns import roll_back

    catalog = _catalog(context)
    _say(context, catalog, roll_back(catalog), json_)


@versions.command()
@click.option("--keep", type=click.IntRange(1), metavar="N", help="How many (index.keep_versions).")
@as_json
@click.pass_context
def prune(context: click.Context, keep: int | None, json_: bool) -> None:
    """Drop the versions that were served longest ago."""
    from indexer.history import prune as run
    from indexer.jobs import writing

    config, catalog = settings(context), _catalog(context)
    with writing(catalog, "prune", lambda *_: None):
        dropped = run(catalog, keep or config.index.keep_versions)
    if json_:
        click.echo(json.dumps({"dropped": dropped}))
    else:
        click.echo(f"Dropped {', '.join(f'version {number}' for number in dropped) or 'none'}.")


def _say(context: click.Context, catalog: "Catalog", row: "IndexVersion", json_: bool) -> None:
    from indexer.usable import warning

    said = warning(catalog, row, settings(context).encoder.device)
    if json_:
        click.echo(json.dumps({"index_version": row.id, "head": row.head_id, "warning": said}))
    else:
        click.echo(f"Version {row.id} is served now. What came after it is searched beside it.")
        if said:
            click.echo(said, err=True)


def _catalog(context: click.Context) -> "Catalog":
    from engine.catalog import Catalog

    return Catalog(settings(context))
