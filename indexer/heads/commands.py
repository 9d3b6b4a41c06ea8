"""The commands about heads, for the front door. Each imports what it needs when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.command_line import as_json, print_json, settings

if TYPE_CHECKING:
    from engine.catalog import HeadRow
    from engine.config import Config
    from indexer.heads.run import Trained


def train_head(
    config: "Config", names: tuple[str, ...], languages: tuple[str, ...], plot: Path | None, json_: bool
) -> None:
    """Fit heads, print how they did and what is served now, and draw their curves."""
    from indexer.heads.methods import METHODS
    from indexer.heads.run import train_heads
    from indexer.progress import Progress

    if plot and not plot.parent.is_dir():
        raise click.UsageError(f"there is no folder {plot.parent} to draw curves into")
    with Progress() as progress:
        trained = train_heads(config, names or tuple(METHODS), languages, progress.tell, progress.hear, progress.note)
    if plot:
        _plot(plot, trained.heads)
    if json_:
        facts = [{"id": row.id, "method": row.method, **row.report} for row in trained.heads]
        version = trained.version.id if trained.version else None
        print_json({"heads": facts, "promoted": trained.best.id if version and trained.best else None,
                     "index_version": version})  # fmt: skip
        return
    _print_trained(trained)


def _print_trained(trained: "Trained") -> None:
    for row in trained.heads:
        report, held_out = row.report, row.report["held_out"]
        low, high = report["interval"]
        click.echo(
            f"Head {row.id}, {row.method}: held-out R@10 text to image {held_out['t2i_r10']:.3f}, image to text "
            f"{held_out['i2t_r10']:.3f}, averaged {held_out['r10']:.3f} (95 % interval {low:.3f} to {high:.3f}), on "
            f"{report['held_out_pictures']:,} pictures, after {report['seconds']:.1f} s."
        )
        for rival, facts in report["against"].items():
            low, high = facts["interval"]
            click.echo(f"  against {rival}, {facts['r10']:.3f}: {facts['difference']:+.3f} ({low:+.3f} to {high:+.3f})")
    best = trained.best
    assert best is not None
    if trained.version:
        click.echo(f"Version {trained.version.id} is published with head {best.id}.")
    else:
        click.echo(f"Kept the present model: of head {best.id}, {best.report['verdict']}.")


def _plot(file: Path, rows: "list[HeadRow]") -> None:
    from engine.curves import draw_curves

    curves = {f"{row.method} {row.id}": row.report["curve"] for row in rows if row.report["curve"]}
    steps = [row for row in rows if not row.report["curve"] and "r10" in row.report["best"]]
    levels = {
        f"{row.method} {row.id}": row.report["best"]["r10"] for row in steps
    }  # as curves, not of held-out pictures
    file.write_bytes(draw_curves(curves, levels))
    click.echo(f"The curves are in {file}.", err=True)


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def heads(context: click.Context, json_: bool) -> None:
    """List the trained heads; choose one with `use`, put them side by side with `compare`."""
    if context.invoked_subcommand is None:
        from engine.catalog import Catalog
        from engine.status import head_facts

        found = head_facts(Catalog(settings(context)))
        if json_:
            print_json({"heads": found})
        for head in [] if json_ else found:
            state = "served" if head["served"] else "promoted once" if head["promoted"] else "kept aside"
            click.echo(f"{head['id']:>4}  {head['method']:<22} R@10 {head['held_out']['r10']:.3f}  {state}")
        if not found and not json_:
            click.echo("No head is trained yet: `rebus train` fits one on the library's own captions.")


@heads.command()
@click.argument("head", metavar="N|identity")
@as_json
@click.pass_context
def use(context: click.Context, head: str, json_: bool) -> None:
    """Publish the library with head N; 0 or `identity` with none."""
    from indexer.heads.run import use_head
    from indexer.progress import Progress

    if head != "identity" and not head.isdecimal():
        raise click.UsageError(f"{head!r} is no head: give a number of `rebus heads`, or identity")
    chosen = None if head == "identity" or int(head) == 0 else int(head)
    with Progress() as progress:
        version = use_head(settings(context), chosen, progress.tell)
    if json_:
        print_json({"index_version": version.id, "head": chosen})
    else:
        click.echo(f"Version {version.id} is published with {f'head {chosen}' if chosen else 'no head'}.")


@heads.command()
@click.option("--robustness", is_flag=True, help="Train each anew on pairs of which a fifth is mismatched, once.")
@as_json
@click.pass_context
def compare(context: click.Context, robustness: bool, json_: bool) -> None:
    """Print every trained head in one table, by the figures on held-out pictures when it was trained."""
    from engine.catalog import Catalog
    from engine.status import head_facts
    from indexer.heads.run import measure_robustness
    from indexer.progress import Progress
    from indexer.tables import print_heads

    config = settings(context)
    if robustness:
        with Progress() as progress:
            measure_robustness(config, progress.tell, progress.hear, progress.note)
    found = head_facts(Catalog(config))
    if json_:
        print_json({"heads": found})
    else:
        print_heads(found)


COMMANDS = (heads,)
