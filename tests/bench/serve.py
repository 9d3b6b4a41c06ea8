"""Serving, measured over loopback: `rebus serve` on a library of 100,000 drawn vectors, asked by 1 to 128 clients.

`make bench-serve`. Beside it the same search called in-process, one after another, and what the server says each search
took of the requests themselves: the rest is the overhead of HTTP. Both hold the hits with what the catalog says of
them; their JSON and the cursor are overhead. mode: `search.mode`. cached: one query again and again, whose embedding is
remembered; new: words that were never asked. The load tool runs on the same machine, and takes its share of it. So one
client also asks by `http.client`, which does little more than read (part `one connection`): what it takes beyond the
search is the overhead of HTTP, of which `thread_cpu_p50_ms` is the client's own work, and what the load tool measures
above that is the tool's own.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
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
        rows += [one_connection(address, kind, seconds / 2) for kind in ("cached", "new")]
        for kind in ("cached", "new"):
            for clients in CLIENTS:
                figures = load(address, clients, seconds, kind)
                rows.append({"part": "http", "queries": kind, "clients": clients, **figures})
                say(f"{mode} {rows[-1]}")
    return [{"mode": mode, **row} for row in rows]


def in_process(config: Config, kind: str, seconds: float) -> dict[str, Any]:
    """The same searches, without HTTP and one after another."""
    searcher = Searcher(config, Catalog(config))
    row = _timed("in-process", kind, seconds, lambda words: searcher.search(Query((Term(text=words),), limit=LIMIT)))
    searcher.catalog.engine.dispose()
    return row


def one_connection(address: str, kind: str, seconds: float) -> dict[str, Any]:
    """The same searches over one connection of the standard library, one after another."""
    searching: list[float] = []  # what the server says of the same requests
    with closing(HTTPConnection(address.removeprefix("http://"))) as connection:

        def ask(words: str) -> bytes:
            body = json.dumps({"text": words, "limit": LIMIT})
            connection.request("POST", "/api/v1/search", body, {"Content-Type": "application/json"})
            return connection.getresponse().read()

        def hear(answer: bytes) -> None:
            searching.append(json.loads(answer)["took_ms"]["total"])

        row = _timed("one connection", kind, seconds, ask, hear)
    return {**row, "search_p50_ms": round(float(np.median(searching)), 3)}


def _timed(
    part: str, kind: str, seconds: float, ask: Callable[[str], Any], hear: Callable[[Any], None] = lambda answer: None
) -> dict[str, Any]:
    """One call after another. hear: what is done with an answer when its time is taken."""
    ask("warm")
    taken: list[float] = []
    own: list[float] = []  # of this thread
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        words = "a red boat at sunset" + (f" {part} {len(taken)}" if kind == "new" else "")
        began, worked = time.perf_counter(), time.thread_time()
        answer = ask(words)
        taken.append((time.perf_counter() - began) * 1000)
        own.append((time.thread_time() - worked) * 1000)
        hear(answer)
    p50, p95, p99 = (round(float(x), 3) for x in np.percentile(taken, (50, 95, 99)))
    row = {"part": part, "queries": kind, "requests": len(taken), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
           "thread_cpu_p50_ms": round(float(np.median(own)), 3)}  # fmt: skip
    say(str(row))
    return row


def _headline(rows: list[dict[str, Any]], mode: str) -> dict[str, float]:
    found = {(row["part"], row["queries"], row.get("clients")): row for row in rows if row["mode"] == mode}
    one, inside = found["one connection", "cached", None], found["in-process", "cached", None]
    return {
        "http_overhead_ms_p50": round(one["p50_ms"] - one["search_p50_ms"], 3),  # of the same requests
        "of_which_client_ms_p50": one["thread_cpu_p50_ms"],
        "above_in_process_ms_p50": round(one["p50_ms"] - inside["p50_ms"], 3),
        "load_tool_above_ms_p50": round(found["http", "cached", 1]["p50_ms"] - one["p50_ms"], 3),
        "qps_32_clients": found["http", "new", 32]["qps"],
        "qps_32_clients_cached": found["http", "cached", 32]["qps"],
        "errors": sum(row.get("errors", 0) for row in found.values()),
    }


if __name__ == "__main__":
    main()
