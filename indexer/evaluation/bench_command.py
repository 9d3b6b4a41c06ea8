"""`rebus bench`, for the front door. It imports what it needs when it runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from indexer.command_line import as_json, print_json, settings

if TYPE_CHECKING:
    from indexer.evaluation.sheets import Sheet


@click.command()
@as_json
@click.pass_context
def bench(context: click.Context, json_: bool) -> None:
    """Measure what the served index loses at each stage, its time and its memory, on this machine."""
    from indexer.evaluation.bench import bench as run
    from indexer.progress import Progress
    from indexer.tables import print_sheet

    config = settings(context)
    with Progress() as progress:
        figures = run(config, progress.tell)
    if json_:
        print_json(figures)
        return
    for sheet in _sheets(figures):
        print_sheet(sheet)
    click.echo(
        f"Version {figures['index_version']}, {figures['threads']} threads. "
        "Recall is of what an exact scan finds first; milliseconds are of one query at a time."
    )


def _sheets(figures: dict[str, Any]) -> "Iterator[Sheet]":
    from indexer.evaluation.sheets import Sheet

    for name, facts in figures["indexes"].items():
        recall, ms, whole = facts["recall_at_10"], facts["milliseconds"], facts["searches"]["milliseconds"]["total"]
        rows = [
            ("codes alone", f"{recall['codes']:.3f}", *_times(ms["recall"])),
            (f"the first {facts['candidates']:,} by codes", f"{recall['handed_on']:.3f}", "", ""),
            ("refined", f"{recall['refined']:.3f}", *_times(ms["total"])),
            ("exact scan", "1.000", *_times(ms["exact"])),
            (f"whole searches, by {facts['searches']['asked_by']}", "", *_times(whole)),
        ]
        rows += [
            (f"under a filter of {kept['share']:.1%}", f"{kept['recall_at_10']:.3f}", *_times(kept))
            for kept in facts["filters"][1:]
        ]
        title = (
            f"{facts['items']:,} of {name}, asked by {facts['queries']:,} of {facts['asked_by']}; "
            f"{facts['resident_bytes']} bytes of memory each; {facts['batch_queries_per_s']:,} queries/s in batches"
        )
        yield Sheet(title, ("", "recall@10", "p50 ms", "p99 ms"), rows)


def _times(ms: dict[str, float]) -> tuple[str, str]:
    return f"{ms['p50']:.2f}", f"{ms['p99']:.2f}"
