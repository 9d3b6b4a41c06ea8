"""Figures as tables on a terminal."""

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table


def print_evaluation(figures: dict[str, Any]) -> None:
    """What `evaluate` found of a version."""
    table = Table(title=f"{figures['images']:,} held-out pictures, {figures['captions']:,} captions")
    for column in ("", "R@1", "R@5", "R@10", "median rank"):
        table.add_column(column, justify="left" if not column else "right")
    for way, name in (("t2i", "text to image"), ("i2t", "image to text")):
        for kind in ("exact", "cascade"):
            row = figures[kind]
            rank = row.get(f"{way}_median_rank")
            cells = [f"{row[f'{way}_r{k}']:.3f}" for k in (1, 5, 10)]
            table.add_row(f"{name}, {kind}", *cells, f"{rank:.0f}" if rank else "")
    console = Console()
    console.print(table)
    agreement, size, total = (
        figures["agreement_at_10"],
        figures["bytes_per_item"],
        figures["latency_ms"]["total"],
    )
    console.print(f"The cascade finds {agreement['text_to_image']:.1%} of the exact first ten pictures for words, "
                  f"{agreement['image_to_text']:.1%} of captions for pictures.")  # fmt: skip
    console.print(f"{size['index']:.0f} bytes an item in the index, {size['embedding']:.0f} in the embedding store.")
    console.print(f"A query takes {total['p50']:.1f} ms at the median, {total['p95']:.1f} ms at p95.")


def print_heads(found: list[dict[str, Any]]) -> None:
    """Every trained head, by the figures of its report."""
    mapped, spoilt = (
        any(key in head[of] for head in found) for key, of in (("t2i_map", "held_out"), ("r10", "mismatched"))
    )
    table = Table(title="Heads, on held-out pictures", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("head", "method", "text"):
        table.add_column(column, no_wrap=True)
    columns = ["t→i R@1", "R@5", "R@10", "i→t R@1", "R@5", "R@10", "both"]
    columns += ["t→i mAP", "i→t mAP"] * mapped + ["20 % mismatched"] * spoilt
    for column in (*columns, "numbers", "MB", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for head in found:
        keys = [f"{way}_r{k}" for way in ("t2i", "i2t") for k in (1, 5, 10)] + ["r10"]
        cells = [_cell(head["held_out"], key) for key in keys + ["t2i_map", "i2t_map"] * mapped]
        cells += [_cell(head["mismatched"], "r10")] * spoilt
        size = [f"{head['parameters']:,}", f"{head['bytes'] / 1e6:.1f}", f"{head['seconds']:.1f}"]
        table.add_row(f"{head['id']}{' *' if head['served'] else ''}", head["method"], head["text"], *cells, *size)
    console = Console()
    wide = max(console.width, console.measure(table, options=console.options.update(max_width=1000)).maximum)
    Console(width=wide).print(table)
    click.echo("* is served.")


def _cell(figures: dict[str, float], key: str) -> str:
    return f"{figures[key]:.3f}" if key in figures else ""
