"""The benchmark of searches: every kind answers as the exact scan when it looks at everything, and what is said."""

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from engine.types import F32
from tests.bench.growth import growth, table
from tests.bench.report import last, revision
from tests.bench.search import build, build_all, chosen, finish, folder_of, given_up, headline, measure, shared, sweep
from tests.bench.search_kinds import KINDS, Setting
from tests.bench.search_plot import frontier, plot
from tests.bench.search_set import AnnSet
from tests.test_lists import unit

COUNT, DIM = 1500, 64
DEEPEST: dict[str, Setting] = {
    "Rebus, 256 hash bits": {"candidates": COUNT},
    "Rebus, lists of PQ64x4": {"probes": 64, "candidates": COUNT},
    "FAISS Flat": {},
    "FAISS RaBitQfs 1 bit + refine": {"probes": 64, "candidates": COUNT},
    "FAISS HNSW32,SQ8": {"ef": COUNT},
}


def rows(count: int, seed: int) -> F32:
    return unit(np.random.default_rng(seed).standard_normal((count, DIM), np.float32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> AnnSet:
    base = rows(COUNT, 0).astype(np.float16)
    asked = rows(40, 1)
    truth = np.argsort(-(asked @ base.astype(np.float32).T), axis=1)[:, :100]
    return AnnSet(tmp_path_factory.mktemp("ann"), base, rows(200, 2), asked, truth)


@pytest.mark.parametrize("kind", DEEPEST)
def test_every_kind_finds_what_the_exact_scan_does_when_it_looks_at_all(data: AnnSet, kind: str) -> None:
    build(kind, data)
    assert (folder_of(kind, data) / "built.json").exists()
    ask = KINDS[kind].load(data, folder_of(kind, data))
    least = 0.9 if "HNSW" in kind else 0.995  # eight bits a number; and equal halves may change places
    assert shared(ask(data.asked, 10, DEEPEST[kind]), data.truth, 10) >= least
    tried = sweep(kind, ask, data)
    assert all(one.recall == shared(one.found, data.truth, 10) and one.ms > 0 for one in tried)
    picked = chosen(tried)
    assert max(one.recall for one in picked) == max(one.recall for one in tried) or picked[-1].recall >= 0.98


def fact(owner: str, recall: float, qps: float, held: float = 50, **more: object) -> dict[str, object]:
    kind = "Rebus, lists" if owner == "rebus" else "FAISS"
    row = {"items": 100, "kind": kind, "owner": owner, "recall_at_10": recall, "qps": qps, "bytes": held}
    return {**row, "chosen": True, "train_s": 3.0, "build_s": 2.0, "run": "one", **more}


def test_the_ratio_is_of_the_quickest_within_the_same_bytes_and_recall() -> None:
    ours = [fact("rebus", 0.96, 120.0), fact("rebus", 0.94, 300.0)]
    theirs = [fact("faiss", 0.95, 100.0), fact("faiss", 0.99, 150.0, 92), fact("faiss", 0.9, 500.0)]
    said = headline([*ours, *theirs, fact("faiss", 0.99, 900.0, items=10)])
    assert said["qps_ratio_recall95_64B"] == 1.2
    assert (said["train_seconds_100"], said["build_seconds_100"]) == (3.0, 2.0)
    assert "qps_ratio_recall95_64B" not in headline(ours)
    before = fact("faiss", 0.99, 900.0, run="before")
    assert headline([*ours, *theirs, before])["qps_ratio_recall95_64B"] == 1.2  # only what one run measured compares


def test_the_plot_shows_what_no_other_setting_beats() -> None:
    some = [fact("faiss", recall, qps) for recall, qps in ((0.9, 100.0), (0.8, 90.0), (0.95, 50.0), (0.7, 200.0))]
    assert [row["recall_at_10"] for row in frontier(some)] == [0.7, 0.9, 0.95]
    drawn = plot([*some, fact("rebus", 0.9, 10.0, items=1000)])
    assert drawn == plot([*some, fact("rebus", 0.9, 10.0, items=1000)])
    assert "1,000 items" in drawn


def test_a_power_law_and_a_line_are_found_again_and_extended() -> None:
    some = [
        fact("rebus", 0.96, 1.0, items=size, ms=0.01 * size**0.5, cores=1, bytes=50 + 10**6 / size, build_s=size / 1e4)
        for size in (10**4, 10**5, 10**6)
    ]
    slower = {**some[0], "ms": 99.0}
    laws = {law["cost"]: law for law in growth([*some, slower, fact("faiss", 0.9, 1.0, ms=1.0, items=10**4)])}
    assert set(laws) == {"ms", "train_s", "build_s", "bytes"}
    assert [laws[cost]["exponent"] for cost in ("ms", "build_s", "train_s")] == [0.5, 1.0, 0.0]
    assert laws["ms"]["exponent_error"] == 0 and laws["ms"]["extended"]["1e+08"] == [100.0] * 3
    assert (laws["bytes"]["fixed"], laws["bytes"]["each"]) == (10**6, 50)
    assert laws["bytes"]["extended"]["1e+09"] == [5e10] * 3
    assert "| n^0.50 ± 0.00 |" in table([laws["ms"]]) and "| 100 (100 to 100) |" in table([laws["ms"]])


def test_what_fits_less_well_is_less_certain() -> None:
    def law(bend: float) -> dict[str, Any]:
        times = (1.0, 2.0 * bend, 4.0)
        some = [fact("rebus", 0.96, 1.0, items=10**n, ms=ms, cores=1) for n, ms in zip((4, 5, 6), times, strict=True)]
        return next(one for one in growth(some) if one["cost"] == "ms")

    def width(one: dict[str, Any]) -> float:
        low, _, high = one["extended"]["1e+09"]
        return float(high / low)

    assert law(1.5)["exponent_error"] > law(1.1)["exponent_error"] > law(1)["exponent_error"]
    assert width(law(1.5)) > width(law(1.1)) > width(law(1))
    assert not growth([fact("rebus", 0.96, 1.0, items=10**n, ms=1.0, cores=1) for n in (4, 5)])


def test_times_that_were_not_measured_alike_have_no_law() -> None:
    some = [fact("rebus", 0.96, 1.0, items=10**n, ms=1.0 * n, cores=2, run="one") for n in (4, 5, 6)]
    assert {law["cost"] for law in growth(some)} == {"ms", "train_s", "build_s", "bytes"}
    some[0]["run"] = "another"
    assert {law["cost"] for law in growth(some)} == {"train_s", "build_s", "bytes"}
    some[1]["cores"] = 1
    assert {law["cost"] for law in growth(some)} == {"bytes"}
    for row in some:
        del row["run"]
    assert "ms" not in {law["cost"] for law in growth(some)}


def test_a_row_says_when_it_was_measured_and_keeps_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("report", "search"):
        monkeypatch.setattr(f"tests.bench.{module}.RESULTS", tmp_path)
    for run, size in (("one", 10**4), ("another", 10**5)):
        finish([fact("rebus", 0.96, 1.0, items=size, ms=1.0, cores=1)], size, run)
    first, second = last("search")
    assert (first["run"], second["run"]) == ("one", "another")
    assert first["revision"] == second["revision"] == revision() and first["day"] <= second["day"]
    finish([fact("rebus", 0.97, 1.0, items=10**4, ms=1.0, cores=1)], 10**4, "third")
    assert [(row["run"], row["recall_at_10"]) for row in last("search")] == [("third", 0.97), ("another", 0.96)]
    finish([fact("faiss", 0.98, 1.0, items=10**4, ms=1.0, cores=1)], 10**4, "fourth")
    assert {(row["owner"], row["run"]) for row in last("search")} == {
        ("faiss", "fourth"), ("rebus", "third"), ("rebus", "another")
    }  # fmt: skip


def test_all_threads_are_counted(data: AnnSet) -> None:
    build("Rebus, exact scan in place", data)
    (row,) = measure(data, ["Rebus, exact scan in place"])
    assert row["threads"] == len(psutil.Process().cpu_affinity()) and row["qps_all_threads"] > 0


def test_what_is_not_built_in_time_is_given_up_and_said(data: AnnSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["search"])
    build_all(["usearch, i8"], data, 0.01)
    row = given_up("usearch, i8", data)
    assert row["given_up_s"] == 0.01 and row["items"] == COUNT and "ms" not in row
    assert measure(data, ["usearch, i8"]) == [row]
