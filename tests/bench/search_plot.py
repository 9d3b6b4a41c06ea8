"""Recall against queries a second, a panel for each number of items: of each kind what none of its settings beats."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `bench-search` as SVG."""
    sizes, kinds = sorted({row["items"] for row in rows}), sorted({row["kind"] for row in rows})
    figure = Figure(figsize=(5.2 * len(sizes) + 3, 4.4), layout="constrained")
    for number, size in enumerate(sizes):
        axes = figure.add_subplot(1, len(sizes), number + 1)
        for place, kind in enumerate(kinds):
            best = frontier([row for row in rows if row["items"] == size and row["kind"] == kind])
            if best:
                x, y = [row["recall_at_10"] for row in best], [row["qps"] for row in best]
                width = 2.4 if best[0]["owner"] == "rebus" else 1.1
                label = f"{kind}, {best[0]['bytes']:.0f} B"
                axes.plot(x, y, ".-", label=label, color=f"C{place % 10}", linewidth=width)
        axes.set(title=f"{size:,} items", xlabel="recall@10", ylabel="queries a second, one thread", yscale="log")
        axes.set_xlim(0.6, 1.005)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6, loc="lower left")
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "rebus", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def frontier(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no other row beats in both recall and speed, by recall."""
    best: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: -row["qps"]):
        if not best or row["recall_at_10"] > best[-1]["recall_at_10"]:
            best.append(row)
    return best
