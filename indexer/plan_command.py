"""`rebus build`, for the front door. It imports what it needs when it runs."""

import math
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.command_line import as_json, print_json, settings

if TYPE_CHECKING:
    from indexer.planning import Plans

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_MOST = 10**15


class Size(click.ParamType[int]):
    """Bytes, as people write them: 64MB, 1.5 GB, 800000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes; a usage error for anything else."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)i?b?\s*", str(value).lower())
        if found is None or not float(found[1]):
            self.fail(f"{value!r} is no size: write it as 64MB or 1.5GB", param, ctx)
        size = float(found[1]) * _UNITS[found[2]]
        if not 1 <= size <= _MOST:
            self.fail(f"{value} is no size for an index: say from 1 byte to a million GB", param, ctx)
        return round(size)


class Recall(click.FloatRange):
    """A share between 0 and 1, both left out."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True, max_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error for others, and for what is none."""
        found: float = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value} is not in the range 0<x<1.", param, ctx)
        return found


def writable(context: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """A file that can be written, as far as that can be told before; else a usage error."""
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written: name a file in a folder that is there", context, param)
    return path


@click.command()
@click.option("--memory", type=Size(), metavar="SIZE", help="What the codes of all items may take, such as 64MB.")
@click.option("--recall", type=Recall(), help="Of the exact first ten.")
@click.option("--plan-only", is_flag=True, help="Measure and print the plan, and build nothing.")
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), callback=writable, help="Draw what was measured."
)
@as_json
@click.pass_context
def build(
    context: click.Context, memory: int | None, recall: float | None, plan_only: bool, svg: Path | None, json_: bool
) -> None:
    """Publish a version built anew: by the plan that --memory allows, or, without it, by the settings."""
    from engine.catalog import Catalog
    from engine.errors import Interrupted, InvalidInput
    from indexer.build import Recipe, served_encoder
    from indexer.build import build as run
    from indexer.history import over_budget
    from indexer.jobs import writing
    from indexer.planning import check_current, plan
    from indexer.progress import Progress

    given = {"--recall": recall is not None, "--plan-only": plan_only, "--svg": svg is not None}
    if memory is None and any(given.values()):
        named = next(name for name in given if given[name])
        raise click.UsageError(f"{named} is of a plan: say with --memory SIZE what the codes may take")
    config = settings(context)
    catalog = Catalog(config)
    encoder, recipe, plans = served_encoder(catalog), Recipe(config.codec, recall or config.search.recall), None
    served, row = catalog.current_version(), None
    try:
        with Progress() as progress:
            if memory is not None:
                try:
                    plans = plan(catalog, encoder, memory, recipe.recall, progress.tell)
                except KeyboardInterrupt:
                    raise Interrupted("interrupted: no plan is kept, and the library is as it was") from None
                if plans.chosen is not None:
                    recipe = Recipe(plans.chosen.codec, recipe.recall, planned=True, memory=memory)
            if not plan_only and (plans is None or plans.chosen is not None):
                with writing(catalog, "build", progress.tell) as job:
                    if plans is not None and served is not None:
                        check_current(catalog, plans, served)
                    row = run(catalog, config, encoder, job, recipe=recipe)
    finally:  # what took minutes to measure is told even where another writes, so that it cannot be built
        if plans is not None:
            _show(plans, svg, json_, row.id if row else None)
    if plans is not None and plans.chosen is None:
        raise InvalidInput(plans.refusal())
    if plans is None and json_:
        print_json({"index_version": row.id if row else None})
    if row is not None and not json_:
        click.echo("\n".join([f"Version {row.id} is served now.", *over_budget(catalog, row)]))


def _show(plans: "Plans", svg: Path | None, json_: bool, version: int | None) -> None:
    from engine.words import readable_bytes
    from indexer.evaluation.plots import plan_plot
    from indexer.evaluation.sheets import Sheet
    from indexer.tables import print_sheet

    if svg is not None:
        svg.write_bytes(plan_plot(plans))
    if json_:
        print_json({**asdict(plans), "index_version": version})
        return
    rows = [
        (
            ("* " if plan is plans.chosen else "  ") + plan.name, readable_bytes(plan.bytes),
            " + ".join(f"{readable_bytes(size)} {modality}" for modality, size in plan.held.items()), str(plan.probes),
            f"{plan.candidates:,}", f"{plan.recall:.3f} {plan.modality}",
            f"{plan.ms:.2f}{' (all compared)' if plan.scanned else ''}",
        )
        for plan in plans.plans
    ]  # fmt: skip
    title = f"What was measured for {readable_bytes(plans.memory)} and recall {plans.wanted}"
    print_sheet(Sheet(title, ("codes", "memory", "of that", "lists read", "candidates", "recall@10", "ms"), rows))
    if plans.chosen:
        click.echo(
            "* is the quickest that fits, of equals the smallest. Milliseconds are of one query at a time, without "
            "encoder and catalog."
        )
        if plans.chosen.delta:
            click.echo(f"Up to {readable_bytes(plans.chosen.delta)} more hold what is embedded before the next build.")
    if any(plan.scanned for plan in plans.plans):
        click.echo(
            'Where it says "all compared", so few items are compared one by one, which finds all; codes are looked '
            "into on a GPU, or when the library has grown: lists, candidates and recall are of that."
        )
