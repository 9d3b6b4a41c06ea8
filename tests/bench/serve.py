"""Serving, measured over loopback: `rebus serve` on a library of 100,000 drawn vectors, asked by 1 to 128 clients.

`make bench-serve`. Beside it the same search called in-process, one after another, and what the server says each search
took of the requests themselves: the rest is the overhead of HTTP. Both hold the hits with what the catalog says of
them; their JSON, the cursor and the load tool's own reading are overhead. mode: `search.mode`. cached: one query again
and again, whose embedding is remembered; new: words that were never asked. The load tool runs on the same machine, and
takes its share of it.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine.catalog import Catalog
from engine.config import Config, load_config
from engine.decoding import usable_cores
from engine.search import Searcher
from engine.types import Mode, Query, Term
from tests.bench.drawn import DrawnLibrary
from tests.bench.loading import LIMIT, load, served
from tests.bench.report import write
from tests.bench.support import library, say

CLIENTS = (1, 8, 32, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--keep", action="store_true", help="print alone, and leave the committed result as it is")
    arguments = parser.parse_args()
    with library(Path(tempfile.gettempdir())) as config:
        say(f"drawing {arguments.items:,} vectors")
        drawn = DrawnLibrary(config)
        drawn.add(arguments.items)
        drawn.publish()
        drawn.catalog.engine.dispose()
        rows = [row for mode in Mode if mode is not Mode.TEXT for row in measured(config.home, mode, arguments.seconds)]
    headline = {
        f"{mode}_{name}": value for mode in ("vector", "hybrid") for name, value in _headline(rows, mode).items()
    }
    say(str(headline))
    if not arguments.keep:
        common = {"items": arguments.items, "limit": LIMIT, "cores": usable_cores()}
        write("serve", [{**common, **row} for row in rows], headline)


def measured(home: Path, mode: Mode, seconds: float) -> list[dict[str, Any]]:
    """The rows of one mode, each measured for so many seconds."""
    (home / "config.toml").write_text(f'[search]\nmode = "{mode}"\n', encoding="utf-8")
    config = load_config(home, environ={})
    with served(config) as address:
        rows = [in_process(config, kind, seconds / 2) for kind in ("cached", "new")]  # it idles meanwhile
        load(address, 8, 3, "cached")  # warm
        for kind in ("cached", "new"):
            for clients in CLIENTS:
                figures = load(address, clients, seconds, kind)
                rows.append({"part": "http", "queries": kind, "clients": clients, **figures})
                say(f"{mode} {rows[-1]}")
    return [{"mode": mode, **row} for row in rows]


def in_process(config: Config, kind: str, seconds: float) -> dict[str, Any]:
    """The same searches, without HTTP and one after another."""
    searcher = Searcher(config, Catalog(config))
    searcher.search(Query((Term(text="warm"),), limit=LIMIT))
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        words = "a red boat at sunset" + (f" number {len(taken)}" if kind == "new" else "")
        began = time.perf_counter()
        searcher.search(Query((Term(text=words),), limit=LIMIT))
        taken.append((time.perf_counter() - began) * 1000)
    searcher.catalog.engine.dispose()
    p50, p95, p99 = (round(float(x), 3) for x in np.percentile(taken, (50, 95, 99)))
    row = {"part": "in-process", "queries": kind, "requests": len(taken), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99}
    say(str(row))
    return row


def _headline(rows: list[dict[str, Any]], mode: str) -> dict[str, float]:
    found = {(row["part"], row["queries"], row.get("clients")): row for row in rows if row["mode"] == mode}
    one = found["http", "cached", 1]
    return {
        "http_overhead_ms_p50": round(one["p50_ms"] - one["search_p50_ms"], 3),  # of the same requests
        "qps_32_clients": found["http", "new", 32]["qps"],
        "qps_32_clients_cached": found["http", "cached", 32]["qps"],
        "errors": sum(row.get("errors", 0) for row in found.values()),
    }


if __name__ == "__main__":
    main()
