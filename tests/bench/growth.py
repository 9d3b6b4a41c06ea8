"""How the costs of searching grow with the number of items, fitted to what was measured and extended on paper.

Time of a query, of training and of building: a power of the number of items, by least squares of logarithms. Bytes of
memory: so many for all and so many an item, by least squares of relative errors. What is extended has the error of a
prediction, one standard error, which says how well the law fits the sizes measured and nothing of what changes beyond.

Times are compared where they were measured alike: of queries in one run, of training and building on as many cores.
Bytes do not depend on that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.types import Array

EXTENDED = (10**8, 10**9)
ALIKE = {"ms": "run", "train_s": "cores", "build_s": "cores"}  # what sizes must share for their times to make a law
RECALL, LEAST = 0.95, 3  # sizes: two determine a law and leave nothing to judge it by


def growth(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A law for each cost of each kind that reached RECALL at LEAST sizes; rows: of searches, as they are measured.

    None of a time whose sizes were not measured alike.
    """
    laws = []
    for kind in sorted({row["kind"] for row in rows}):
        quickest: dict[int, dict[str, Any]] = {}
        for row in sorted(rows, key=lambda row: -row["ms"]):
            if row["kind"] == kind and row["chosen"] and row["recall_at_10"] >= RECALL:
                quickest[row["items"]] = row
        sizes = sorted(quickest)
        if len(sizes) < LEAST:
            continue
        best = [quickest[size] for size in sizes]
        facts = {"kind": kind, "owner": best[0]["owner"], "cores": [row["cores"] for row in best], "items": sizes}
        for cost, condition in ALIKE.items():
            costs, alike = [row[cost] for row in best], len({row.get(condition, row["items"]) for row in best}) == 1
            if alike and min(costs) > 0:
                laws.append({**facts, "cost": cost, **power(sizes, costs)})
        held = [row["bytes"] * row["items"] for row in best]
        laws.append({**facts, "cost": "bytes", **line(sizes, held)})
    return laws


def power(sizes: Sequence[int], costs: Sequence[float]) -> dict[str, Any]:
    """costs = factor * sizes ** exponent."""
    design, target = np.stack([np.ones(len(sizes)), np.log(sizes)], axis=1), np.log(costs)
    found, spread, left = _fitted(design, target)
    extended = {}
    for size in EXTENDED:
        at = np.array([1, np.log(size)])
        middle, error = at @ found, np.sqrt(at @ spread @ at + left)
        extended[f"{size:.0e}"] = [_short(np.exp(middle + step * error)) for step in (-1, 0, 1)]
    facts = {"measured": list(costs), "exponent": round(float(found[1]), 3)}
    return {**facts, "exponent_error": round(float(np.sqrt(spread[1, 1])), 3), "extended": extended}


def line(sizes: Sequence[int], costs: Sequence[float]) -> dict[str, Any]:
    """costs = fixed + each * sizes."""
    values = np.asarray(costs)
    design = np.stack([1 / values, np.asarray(sizes) / values], axis=1)
    found, spread, left = _fitted(design, np.ones(len(values)))
    extended = {}
    for size in EXTENDED:
        at = np.array([1.0, size])
        middle = at @ found
        error = np.sqrt(at @ spread @ at + left * middle**2)
        extended[f"{size:.0e}"] = [_short(middle + step * error) for step in (-1, 0, 1)]
    facts = {"measured": [_short(cost) for cost in costs], "fixed": _short(found[0]), "each": _short(found[1])}
    return {**facts, "each_error": _short(np.sqrt(spread[1, 1])), "extended": extended}


def table(laws: Sequence[dict[str, Any]]) -> str:
    """The laws in Markdown, with one standard error."""
    if not laws:
        return ""
    sizes = sorted({size for law in laws for size in law["items"]})
    names = [f"{size:,}" for size in (*sizes, *EXTENDED)]
    lines = ["| kind | cost | " + " | ".join(names) + " | law |", "|" + "---|" * (len(names) + 3)]
    for law in laws:
        known = dict(zip(law["items"], law["measured"], strict=True))
        cells = [f"{known[size]:,.3g}" if size in known else "" for size in sizes]
        cells += ["{1:,.3g} ({0:,.3g} to {2:,.3g})".format(*some) for some in law["extended"].values()]
        said = (
            f"n^{law['exponent']:.2f} ± {law['exponent_error']:.2f}"
            if "exponent" in law
            else f"{law['fixed']:,.3g} + n × ({law['each']:.3g} ± {law['each_error']:.2g})"
        )
        lines.append(f"| {law['kind']} | {law['cost']} | " + " | ".join([*cells, said]) + " |")
    return "\n".join(lines)


def _fitted(design: Array, target: Array) -> tuple[Array, Array, float]:
    """Coefficients (2,), their covariance, and the variance of what is left."""
    found = np.linalg.lstsq(design, target)[0]
    left = float(((target - design @ found) ** 2).sum()) / (len(target) - 2)
    return found, left * np.linalg.inv(design.T @ design), left


def _short(value: float) -> float:
    return float(f"{value:.3g}")
