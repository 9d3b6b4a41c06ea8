"""`rebus eval`, for the front door. It imports what it needs when it runs."""

from pathlib import Path

import click

from indexer.command_line import as_json, print_json, settings


@click.command(name="eval")
@click.option(
    "--split", type=click.Choice(["val", "test"]), default="val", show_default=True, help="What to measure on."
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Write all of it as one page, with plots."
)
@as_json
@click.pass_context
def eval_(context: click.Context, split: str, report: Path | None, json_: bool) -> None:
    """Measure the published version on pictures held out from training."""
    from engine.status import REPORT
    from indexer.evaluation.evaluate import evaluate
    from indexer.evaluation.report import check_target, write_report
    from indexer.progress import Progress
    from indexer.tables import print_evaluation

    if report:
        check_target(report)
    config = settings(context)
    with Progress() as progress:
        figures = evaluate(config, progress.tell, split)
    if report:
        write_report(figures, report, config.home / REPORT)
        click.echo(f"The report is in {report}.", err=True)
    if json_:
        print_json(figures)
    else:
        print_evaluation(figures)
