"""The plots of the report, as SVG to stand inside a page: its colours, its letters, no id of another plot."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from engine.curves import as_svg
from engine.words import readable_bytes

if TYPE_CHECKING:
    from indexer.planning import Plans

# Colours that occur nowhere else, each with what the page's style has in its place.
_INK, _FIRST, _SECOND = "#010203", "#010204", "#010205"
_PLACES = {_INK: "currentColor", _FIRST: "var(--first)", _SECOND: "var(--second)"}
_WAYS = {"t2i": _FIRST, "i2t": _SECOND, "text_to_image": _FIRST, "image_to_text": _SECOND}
_LABELS = {"t2i": "text to picture", "i2t": "picture to text"}
_LABELS |= {"text_to_image": _LABELS["t2i"], "image_to_text": _LABELS["i2t"]}


def recall_plot(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Recall at k both ways, with intervals."""
    figure, axes = _empty("k, how many are shown", "recall")
    for way, points in curves.items():
        k = [point["k"] for point in points]
        low, high = ([point[bound] for point in points] for bound in ("low", "high"))
        axes.fill_between(k, low, high, color=_WAYS[way], alpha=0.2, linewidth=0)
        axes.plot(k, [point["recall"] for point in points], color=_WAYS[way], marker=".", label=_LABELS[way])
    _logarithmic(axes)
    return _svg(figure, axes, "recall")


def rank_plot(histogram: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The share of queries by the rank of their right answer."""
    figure, axes = _empty("rank of the right answer", "share of queries")
    for turn, (way, bins) in enumerate(histogram.items()):
        places = [number + 0.4 * turn - 0.2 for number in range(len(bins))]
        axes.bar(places, [one["share"] for one in bins], 0.4, color=_WAYS[way], label=_LABELS[way])
        axes.set_xticks(range(len(bins)), [_span(one) for one in bins], rotation=45, ha="right")
    return _svg(figure, axes, "ranks")


def candidates_plot(stages: Mapping[str, Mapping[str, Any]], candidates: int) -> str:
    """The share of the exact first ten among the candidates of hash recall, by how many it hands on."""
    figure, axes = _empty("candidates that hash recall hands on", "share of the exact first ten")
    for way, facts in stages.items():
        points = [[point[key] for point in facts["curve"]] for key in ("candidates", "share")]
        axes.plot(*points, color=_WAYS[way], marker=".", label=_LABELS[way])
    axes.axvline(candidates, color=_INK, linestyle=":", label=f"search.candidates, {candidates:,}")
    _logarithmic(axes)
    return _svg(figure, axes, "candidates")


def latency_plot(stages: Mapping[str, Mapping[str, float]]) -> str:
    """Milliseconds by stage, at the median and at p95."""
    figure, axes = _empty("milliseconds", "")
    names = list(stages)[::-1]
    for turn, (key, color) in enumerate({"p95": _SECOND, "p50": _FIRST}.items()):
        places = [number + 0.4 * turn - 0.2 for number in range(len(names))]
        axes.barh(places, [stages[name][key] for name in names], 0.4, color=color, label=key)
    axes.set_yticks(range(len(names)), names)
    return _svg(figure, axes, "latency", shares=False)


def _empty(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.tick_params(which="both", color=_INK, labelcolor=_INK)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    return figure, axes


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter("")


def _svg(figure: Figure, axes: Axes, name: str, *, shares: bool = True) -> str:
    """The figure without what belongs to a file of its own; its ids begin with `name`."""
    if shares:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y" if shares else "x", color=_INK, alpha=0.15)
    axes.legend(frameon=False, labelcolor=_INK, fontsize="small")
    drawn = as_svg(figure, "none", name).decode()
    drawn = drawn[drawn.index("<svg") :].replace("<svg", f'<svg role="img" aria-labelledby="{name}"', 1)
    drawn = re.sub(r' (?:width|height)="[\d.]+pt"', "", drawn, count=2)
    drawn = re.sub(r'( id="|href="#|url\(#)', rf"\1{name}-", drawn)
    for color, place in _PLACES.items():
        drawn = drawn.replace(color, place)
    return drawn


def _span(one: Mapping[str, float]) -> str:
    first, last = int(one["first"]), int(one["last"])
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def plan_plot(plans: "Plans") -> bytes:
    """Recall against milliseconds of all depths that were measured, a line for each plan."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for plan in plans.plans:
        best: list[dict[str, Any]] = []
        for row in sorted(plan.tried, key=lambda row: row["ms"]):
            if not best or row["recall"] > best[-1]["recall"]:
                best.append(row)
        fits = plan.bytes <= plans.memory
        label = f"{plan.name}: {readable_bytes(plan.bytes)}" + ("" if fits else ", too large")
        style = "-" if fits else ":"
        width = 2.6 if plan is plans.chosen else 1.2
        x, y = [row["ms"] for row in best], [row["recall"] for row in best]
        axes.plot(x, y, style, marker=".", linewidth=width, label=label)
    axes.axhline(plans.wanted, color="0.6", linewidth=0.8)
    axes.set(xlabel="milliseconds of a query", ylabel="recall@10", xscale="log")
    axes.legend(frameon=False, fontsize=7)
    axes.grid(alpha=0.3)
    return as_svg(figure)
