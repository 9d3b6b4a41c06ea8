"""Figures as tables on a terminal."""

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from indexer.evaluation.sheets import Sheet, heads_sheet, sheets, summary


def print_evaluation(figures: dict[str, Any]) -> None:
    """What `evaluate` found of a version."""
    for sheet in sheets(figures):
        print_sheet(sheet)
    for sentence in summary(figures):
        click.echo(sentence)


def print_heads(found: list[dict[str, Any]]) -> None:
    """Every trained head, by the figures of its report."""
    print_sheet(heads_sheet(found), words=3)
    click.echo("* is served.")


def print_sheet(sheet: Sheet, words: int = 1) -> None:
    """A table as wide as it needs to be. words: how many columns are no numbers."""
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(sheet.columns):
        table.add_column(column, justify="left" if number < words else "right", no_wrap=True)
    for row in sheet.rows:
        table.add_row(*row)
    console = Console()
    wide = max(console.width, console.measure(table, options=console.options.update(max_width=1000)).maximum)
    Console(width=wide).print(table)
