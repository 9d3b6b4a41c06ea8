"""Search, measured: Rebus beside FAISS, hnswlib and usearch, each swept over its own settings. `make bench-search`.

Captions ask for photographs, one at a time, on one thread. Every kind is first swept over all its settings; then the
quickest settings of each kind for each recall are asked again in turns with those of the others, so that what else the
machine does falls on all of them; the quickest of these are `chosen`, and asked by as many `threads` as this process
may use cores. Kinds are built in processes of their own, once, into the folder of the set, on so many `cores`.

bytes: the anonymous memory that loading a kind takes, an item; pages of mapped files are not counted. Milliseconds are
of one query. A row is kept in the result until its kind is measured again at its size, and says when and at which
revision it was; rows of one `run` were measured one after another by one call, and the headline is of one run. growth:
how each cost grows with the number of items, see tests.bench.growth. A kind that is not built in time is a row that
says so; deleting its folder asks anew.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine.store import half_scores
from engine.types import F32, I64
from tests.bench.growth import growth, table
from tests.bench.report import RESULTS, last, stamp, write
from tests.bench.search_kinds import KINDS, Ask, Setting
from tests.bench.search_plot import plot
from tests.bench.search_set import DEPTH, AnnSet, made
from tests.bench.support import say

TARGETS, FIRST, BUDGET = (0.9, 0.95, 0.98), 10, 64
_ROUNDS, _SLOW_S, _GAIN = 5, 5.0, 0.0015
_NEAR, _SOME = 1.3, 6  # how much slower than the quickest at first, and how many of a kind, are asked again


@dataclass(slots=True)
class Tried:
    """A kind at one setting. found: ids (asked, FIRST) of the queries there was time for; times: seconds of each."""

    kind: str
    setting: Setting
    found: I64
    times: list[list[float]]
    recall: float

    @property
    def ms(self) -> float:
        """Milliseconds a query: the median over the rounds of their means."""
        return float(np.median([np.mean(some) for some in self.times])) * 1e3


def build(kind: str, data: AnnSet) -> None:
    """Write a kind's files and what building took."""
    folder = folder_of(kind, data)
    temporary = folder.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    began = time.perf_counter()
    trained = KINDS[kind].build(data, temporary)
    took = {"train_s": round(trained, 1), "build_s": round(time.perf_counter() - began - trained, 1)}
    (temporary / "built.json").write_text(json.dumps({**took, "cores": cores()}), encoding="utf-8")
    temporary.rename(folder)


def folder_of(kind: str, data: AnnSet) -> Path:
    """Where its files lie."""
    return data.folder / "".join(letter if letter.isalnum() else "-" for letter in kind)


def built(kind: str, data: AnnSet) -> dict[str, Any]:
    """What building it took, or after how long it was given up."""
    facts: dict[str, Any] = json.loads((folder_of(kind, data) / "built.json").read_text(encoding="utf-8"))
    return facts


def given_up(kind: str, data: AnnSet) -> dict[str, Any]:
    """The row of a kind that was not built in time."""
    return {"items": len(data.base), "kind": kind, "owner": KINDS[kind].owner, **built(kind, data)}


def anonymous() -> int:
    """Bytes of this process's own memory that no file stands behind, after what is free was handed back."""
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def sweep(kind: str, ask: Ask, data: AnnSet) -> list[Tried]:
    """Every setting, up to where a deeper one finds no more."""
    tried: list[Tried] = []
    branch, best = None, 0.0
    for setting in KINDS[kind].settings:
        first = next(iter(setting.values()), None) if len(setting) > 1 else None
        if branch == (first, "done"):
            continue
        if branch is None or branch[0] != first:
            branch, best = (first, "open"), 0.0
        one = timed(kind, ask, data, setting)
        tried.append(one)
        if one.recall - best < _GAIN and best > 0 and len(setting) > 1:
            branch = (first, "done")
        best = max(best, one.recall)
    return tried


def timed(kind: str, ask: Ask, data: AnnSet, setting: Setting) -> Tried:
    """One query after another."""
    ask(data.asked[:1], FIRST, setting)
    found, times, began = [], list[float](), time.perf_counter()
    for query in np.split(data.asked, len(data.asked)):
        start = time.perf_counter()
        found.append(ask(query, FIRST, setting))
        times.append(time.perf_counter() - start)
        if time.perf_counter() - began > _SLOW_S:
            break
    ids = np.concatenate(found)
    return Tried(kind, setting, ids, [times], shared(ids, data.truth, FIRST))


def shared(found: I64, truth: I64, k: int) -> float:
    """The share of the exact first k that is among the first k found."""
    return float(np.mean([np.isin(a[:k], b[:k]).mean() for a, b in zip(truth, found, strict=False)]))


def contenders(tried: Sequence[Tried]) -> list[Tried]:
    """The quickest settings for each recall that is reached: times of one sweep are too rough to choose one of them."""
    found: list[Tried] = []
    for good in _reaching(tried):
        least = min(one.ms for one in good)
        near = sorted((one for one in good if one.ms <= _NEAR * least), key=lambda one: one.ms)[:_SOME]
        found += [one for one in near if one not in found]
    return found


def chosen(tried: Sequence[Tried]) -> list[Tried]:
    """The quickest setting for each recall that is reached, or the best recall where none is."""
    picked = [min(good, key=lambda one: one.ms) for good in _reaching(tried)]
    return [one for place, one in enumerate(picked) if one not in picked[:place]]


def _reaching(tried: Sequence[Tried]) -> Iterator[list[Tried]]:
    """Of each target the settings that reach it; the one of best recall where none does."""
    for target in TARGETS:
        yield [one for one in tried if one.recall >= target] or [max(tried, key=lambda one: one.recall)]


def measure(data: AnnSet, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of one size. OpenMP has one thread in this process: threads are our own."""
    asks: dict[str, Ask] = {}
    held: dict[str, float] = {}
    half_scores([(data.base, np.arange(10))], data.asked[0])  # imports torch, which is no index's memory
    lacking = {kind: given_up(kind, data) for kind in kinds if "given_up_s" in built(kind, data)}
    kinds = [kind for kind in kinds if kind not in lacking]
    for kind in kinds:
        before = anonymous()
        asks[kind] = KINDS[kind].load(data, folder_of(kind, data))
        asks[kind](data.asked[:50], FIRST, KINDS[kind].settings[-1])
        held[kind] = (anonymous() - before) / len(data.base)
        say(f"{kind}: {held[kind]:.1f} bytes an item")
    tried: dict[str, list[Tried]] = {}
    for kind in kinds:
        tried[kind] = sweep(kind, asks[kind], data)
        say(f"{kind}: recall {max(one.recall for one in tried[kind]):.3f} at {len(tried[kind])} settings")
    contending = {kind: contenders(some) for kind, some in tried.items()}
    repeated = [one for some in contending.values() for one in some]
    for one in repeated:
        one.times.clear()
    for _ in range(_ROUNDS):
        for one in repeated:
            one.times += timed(one.kind, asks[one.kind], data, one.setting).times
    picked = [one for some in contending.values() for one in chosen(some)]
    measured = [
        row(one, data, held[kind], asks[kind] if one in picked else None)
        for kind, some in tried.items()
        for one in some
    ]
    return [*measured, *lacking.values()]


def row(one: Tried, data: AnnSet, held: float, ask: Ask | None) -> dict[str, Any]:
    """A kind at a setting as JSON values. ask: where it was chosen, and is measured whole."""
    facts: dict[str, Any] = {
        "items": len(data.base), "kind": one.kind, "owner": KINDS[one.kind].owner, "setting": one.setting,
        "recall_at_10": round(one.recall, 4), "ms": round(one.ms, 4), "qps": round(1000 / one.ms, 1),
        "bytes": round(held, 1), "chosen": ask is not None,
        **built(one.kind, data),
    }  # fmt: skip
    if ask is None:
        return facts
    times = np.concatenate(one.times) * 1e3
    facts |= {f"p{share}_ms": round(float(np.percentile(times, share)), 4) for share in (50, 99)}
    facts["recall_at_1"] = round(shared(one.found, data.truth, 1), 4)
    some = data.asked[:100]
    facts["recall_at_100"] = round(shared(ask(some, DEPTH, one.setting), data.truth[: len(some)], DEPTH), 4)
    return facts | {"qps_all_threads": round(at_once(one, ask, data.asked), 1), "threads": cores()}


def at_once(one: Tried, ask: Ask, queries: F32) -> float:
    """Queries a second of as many threads as this process may use cores."""
    some = np.split(queries, len(queries))[: max(cores() * 4, round(2000 / max(one.ms, 1)))]
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(lambda query: ask(query, FIRST, one.setting), some[: cores()]))
        began = time.perf_counter()
        list(pool.map(lambda query: ask(query, FIRST, one.setting), some))
        return len(some) / (time.perf_counter() - began)


def cores() -> int:
    """Cores that this process may use."""
    return len(psutil.Process().cpu_affinity())


def headline(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """At the largest size, in its newest run: Rebus beside the best of FAISS, within the same bytes, at recall@10 of
    0.95."""
    items = max(row["items"] for row in rows)
    newest = max(row["run"] for row in rows if row["items"] == items)  # runs are named for when they began
    fit = [
        r for r in rows
        if (r["items"], r["run"]) == (items, newest)
        and r["chosen"] and r["recall_at_10"] >= 0.95 and r["bytes"] <= BUDGET
    ]  # fmt: skip
    best = {
        owner: max((r for r in fit if r["owner"] == owner), key=lambda r: r["qps"], default=None)
        for owner in ("rebus", "faiss")
    }
    said: dict[str, float] = {f"{owner}_qps_recall95_64B": row["qps"] if row else 0.0 for owner, row in best.items()}
    ours, theirs = best["rebus"], best["faiss"]
    if ours and theirs:
        said["qps_ratio_recall95_64B"] = round(ours["qps"] / theirs["qps"], 3)
    if ours:
        said |= {f"{part}_seconds_{items}": ours[f"{part}_s"] for part in ("train", "build") if f"{part}_s" in ours}
    return said


def finish(fresh: list[dict[str, Any]], size: int, run: str) -> None:
    """Put the rows of these kinds and this size in place of those that were there, and draw all."""
    kinds = {row["kind"] for row in fresh}
    kept = [r for r in last("search") if r["items"] != size or r["kind"] not in kinds]
    rows = kept + [{**row, **stamp(), "run": run} for row in fresh]
    rows = sorted(rows, key=lambda r: (r["items"], r["kind"], r.get("ms", 0)))
    measured = [r for r in rows if "ms" in r]
    laws = growth(measured)
    write("search", rows, headline(measured), growth=laws)
    (RESULTS / "search.svg").write_text(plot(measured), encoding="utf-8")
    say(json.dumps(headline(measured), indent=1))
    say(table(laws))


def main() -> None:
    """Make the set, build what is not built, and measure; each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = "items: 10000, 100000 or 1000000, or several of these"
    parser.add_argument("--size", type=int, nargs="+", default=[10_000], help=sizes)
    parser.add_argument("--work", type=Path, default=Path("build/bench-search"), help="where sets and indexes are kept")
    parser.add_argument("--kinds", default="", help="parts of the names of those to build and measure; all of them")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which building a kind is given up")
    parser.add_argument("--run", default=datetime.now(UTC).isoformat(timespec="seconds"), help="a run to go on with")
    parser.add_argument("--build", help=argparse.SUPPRESS)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only-build", action="store_true", help="build, and measure another time")
    args = parser.parse_args()
    kinds = [k for k in KINDS if any(part in k for part in args.kinds.split(","))]
    for size in args.size:
        data = made(args.work, size, args.questions)
        if args.build:
            build(args.build, data)
        elif args.measure:
            finish(measure(data, kinds), size, args.run)
        else:
            build_all(kinds, data, args.limit)
            if not args.only_build:
                again(["--measure", "--size", str(size), "--run", args.run], 1)


def build_all(kinds: Sequence[str], data: AnnSet, limit: float) -> None:
    """Those that are not built, each for so many seconds at most."""
    for kind in kinds:
        folder = folder_of(kind, data)
        if folder.exists():
            continue
        say(f"building {kind}")
        try:
            again(["--build", kind, "--size", str(len(data.base))], cores(), limit)
        except subprocess.TimeoutExpired:
            shutil.rmtree(folder.with_suffix(".part"), ignore_errors=True)
            folder.mkdir()
            facts = {"given_up_s": limit, "cores": cores()}
            (folder / "built.json").write_text(json.dumps(facts), encoding="utf-8")


def again(more: list[str], threads: int, limit: float | None = None) -> None:
    """This program in a process of its own, with so many OpenMP threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "tests.bench.search", *sys.argv[1:], *more]
    subprocess.run(command, env=environment, check=True, timeout=limit)


if __name__ == "__main__":
    main()
