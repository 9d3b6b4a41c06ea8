"""An evaluation as one page of HTML that needs nothing else: no script, no file beside it, no address."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from engine.errors import InvalidInput
from indexer.evaluation.plots import candidates_plot, latency_plot, rank_plot, recall_plot
from indexer.evaluation.sheets import heads_sheet, sheets, summary

_TEMPLATE = "report.html"


def render(figures: Mapping[str, Any]) -> str:
    """The report on what `evaluate` found."""
    plots = {
        "recall": ("Recall by how many are shown, with 95 % intervals", recall_plot(figures["recall_curve"])),
        "ranks": ("At which rank the right answer comes", rank_plot(figures["rank_histogram"])),
        "candidates": (
            "How many candidates hash recall must hand on",
            candidates_plot(figures["stages"], figures["candidates"]),
        ),
        "latency": ("Time of a query by stage", latency_plot(figures["latency_ms"])),
    }
    heads = heads_sheet(figures["heads"]) if figures["heads"] else None
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = pages.get_template(_TEMPLATE)
    return page.render(figures=figures, summary=summary(figures), plots=plots, sheets=sheets(figures), heads=heads)


def check_target(file: Path) -> None:
    """Raise InvalidInput when a report cannot be written there, before minutes are spent on measuring."""
    if file.is_dir():
        raise InvalidInput(f"{file} is a folder: name a file for the report, such as {file / 'report.html'}")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder} for the report: make it first")
    if not os.access(folder, os.W_OK):
        raise InvalidInput(f"the report cannot be written in {folder}: name a file in a folder of yours")


def write_report(figures: Mapping[str, Any], *files: Path) -> None:
    """Render, and write each file whole or not at all."""
    text = render(figures)
    for file in files:
        _write(text, file)


def _write(text: str, file: Path) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.absolute().parent, delete=False) as out:
        try:
            out.write(text)
            out.close()
            os.chmod(out.name, 0o644)
            os.replace(out.name, file)
        except BaseException:
            Path(out.name).unlink(missing_ok=True)
            raise
