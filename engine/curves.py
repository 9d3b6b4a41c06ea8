"""Curves of training as SVG: recall by epoch on pictures not trained on, and the loss where there is one head."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

Curve = Sequence[Mapping[str, float]]


def draw_curves(curves: Mapping[str, Curve], levels: Mapping[str, float]) -> bytes:
    """An SVG of R@10 by epoch, and of the loss when there is one curve. The same values give the same bytes.

    curves: the rows of training reports, by the name to show. levels: R@10 of methods that take one step.
    """
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel="epoch", ylabel="R@10 on pictures not trained on, both ways averaged")
    lines = []
    for name, rows in curves.items():
        epochs = [row["epoch"] for row in rows]
        lines += axes.plot(epochs, [row["r10"] for row in rows], marker=".", label=name)
    for name, level in levels.items():
        lines.append(axes.axhline(level, linestyle="--", color=f"C{len(lines)}", label=f"{name} (one step)"))
    if len(curves) == 1:
        losses = axes.twinx()
        losses.set_ylabel("loss")
        rows = next(iter(curves.values()))
        lines += losses.plot([row["epoch"] for row in rows], [row["loss"] for row in rows], color="0.6", label="loss")
    axes.legend(handles=lines, frameon=False)
    axes.grid(alpha=0.3)
    return as_svg(figure)


def as_svg(figure: Figure, font: str = "path", salt: str = "rebus") -> bytes:
    """A figure as SVG; the same figure gives the same bytes. font: path draws letters, none leaves them as text."""
    file = io.BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": font}):
        figure.savefig(file, format="svg", metadata=nothing)
    return file.getvalue()
