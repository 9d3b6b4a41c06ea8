"""The table of methods in README.md, made from the benchmark's result alone."""

import json
from pathlib import Path
from typing import Any

from engine.config import HeadSettings
from tests.bench.report import RESULTS

README = Path(__file__).parents[2] / "README.md"
START, END = "<!-- made by make bench-learning -->\n", "<!-- end -->\n"

Row = dict[str, Any]


def table(result: dict[str, Any]) -> str:
    """Markdown: Flickr8k's rows, then Wikipedia's, the best first."""
    rows: list[Row] = result["rows"]
    flickr = [row for row in rows if row["dataset"] == "flickr8k-en" and "parameters" in row]
    wiki = [row for row in rows if row["dataset"] == "wikipedia" and "parameters" in row]
    machine, threads = result["machine"], {row["threads"] for row in (*flickr, *wiki)}
    parts = [
        f"On {' or '.join(map(str, sorted(threads)))} threads of {machine['cores']} cores ({machine['processor']}); "
        "seconds include learning what reads words, † bounds them to the minutes given. Recalls are per cent."
    ]
    if flickr:
        parts += ["", *_flickr8k(sorted(flickr, key=lambda row: -row["r10"]))]
    for row in (row for row in rows if row["dataset"] == "flickr8k-en-zh"):
        parts += ["", f"One head for two languages (`{row['method']}`), R@10 text to image and image to text: English "
                      f"{_percent(row, 't2i_r10')} and {_percent(row, 'i2t_r10')}, Chinese "
                      f"{_percent(row['zh'], 't2i_r10')} and {_percent(row['zh'], 'i2t_r10')}."]  # fmt: skip
    if wiki:
        parts += ["", *_wikipedia(sorted(wiki, key=lambda row: -row["i2t_map"] - row["t2i_map"]))]
    return "\n".join([*parts, ""])


def _flickr8k(rows: list[Row]) -> list[str]:
    columns = ("Flickr8k val", "reads", "text→image R@1/5/10", "image→text R@1/5/10", "untrained R@10",
               "20 % mismatched R@10", "known by captions / picture / both", "numbers", "s")  # fmt: skip
    head = [_line(*columns), _line(*["---"] * len(columns))]
    lines = []
    for row in rows:
        ways = [" / ".join(_percent(row, f"{way}_r{k}") for k in (1, 5, 10)) for way in ("t2i", "i2t")]
        known = row.get("known_by", {})
        lines.append(_line(
            f"`{row['method']}`", row["text"], *ways, _percent(row["untrained"], "r10"),
            _percent(row.get("mismatched", {}), "r10"),
            " / ".join(_percent(known, by) for by in ("captions", "picture", "both")), f"{row['parameters']:,}",
            _seconds(row),
        ))  # fmt: skip
    return [*head, *lines]


def _wikipedia(rows: list[Row]) -> list[str]:
    columns = ("Wikipedia test", "mAP image→text", "mAP text→image", "untrained", "20 % mismatched", "numbers", "s")
    head = [_line(*columns), _line(*["---"] * len(columns))]
    return [*head, *(_line(
        f"`{row['method']}`", f"{row['i2t_map']:.3f}", f"{row['t2i_map']:.3f}", _maps(row["untrained"]),
        _maps(row.get("mismatched", {})), f"{row['parameters']:,}", _seconds(row),
    ) for row in rows)]  # fmt: skip


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(row: Row) -> str:
    bounded = row["max_minutes"] < HeadSettings().max_minutes
    return f"{row['seconds']:.0f}" + (f" † {row['max_minutes']:.0f} min" if bounded else "")


def _percent(figures: dict[str, float], name: str) -> str:
    return f"{100 * figures[name]:.1f}" if name in figures else "–"


def _maps(figures: dict[str, float]) -> str:
    return f"{figures['i2t_map']:.3f} / {figures['t2i_map']:.3f}" if figures else "–"


def write_table() -> None:
    """Put the table of the committed result between its marks in README.md."""
    result = json.loads((RESULTS / "learning.json").read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    README.write_text(before + START + table(result) + END + rest.split(END)[1], encoding="utf-8")
