"""`rebus build --memory`: plans are measured, and the quickest that fits is built and kept to."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from engine.artifacts import read_manifest
from engine.catalog import Caption, Item
from engine.config import CodecSettings
from engine.errors import NotReady
from engine.versions import Version
from indexer.build import Recipe, build
from indexer.care.leftovers import temporary_files
from indexer.evaluation.memory import resident_bytes
from indexer.evaluation.plots import plan_plot
from indexer.jobs import writing
from indexer.plan_command import Size
from indexer.planning import Plan, Plans, check_current, plan
from tests.conftest import config_at, silent
from tests.shelves import Shelf
from tests.test_listed_library import DIM, points

PICTURES = 2400


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Pictures, half of them with a caption near each; few sizes of codes, since each is trained."""
    few = pytest.MonkeyPatch()
    few.setattr("indexer.planning.BITS", {"hashing": (64, 128, 512), "pq": (64,), "vq": (64,)})
    shelf = Shelf(config_at(tmp_path_factory.mktemp("planned")), DIM)
    vectors = points(PICTURES, 1)
    shelf.add(*(Item(path=f"{i}.jpg") for i in range(PICTURES)), vectors=vectors.tolist())
    words = [Item(path=f"{i}.txt", modality="text") for i in range(PICTURES // 2)]
    texts = shelf.add(*words, vectors=(vectors[: len(words)] + points(len(words), 2) / 2).tolist())
    with shelf.catalog.session() as session:
        for number, text in enumerate(texts):
            session.add(Caption(id=text, owner_id=number + 1, text="words", lang="en", source="test"))
    build(shelf.catalog, shelf.config, shelf.encoder, silent)
    yield shelf
    few.undo()
    shelf.close()


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    """What is told while `plans` is measured."""
    return []


@pytest.fixture(scope="module")
def plans(shelf: Shelf, told: list[tuple[str, int, int]]) -> Plans:
    """For 24 bytes an item, while others write, who leave alone what is being measured."""

    def tell(what: str, done: int, total: int) -> None:
        told.append((what, done, total))
        with writing(shelf.catalog, "index", silent):
            pass

    return plan(shelf.catalog, shelf.encoder, 24 * (PICTURES + PICTURES // 2), 0.9, tell)


def test_what_is_chosen_is_the_quickest_that_fits(plans: Plans) -> None:
    chosen = plans.chosen
    assert chosen is not None and chosen.bytes <= plans.memory and chosen.recall >= 0.9
    others = [one for one in plans.plans if one.bytes <= plans.memory and one.recall >= 0.9]
    assert round(chosen.ms, 1) == min(round(one.ms, 1) for one in others)
    assert {one.name.split(",")[0] for one in plans.plans} == {"hash codes"}  # which do, and train nothing
    assert any(one.bytes > plans.memory for one in plans.plans)  # what a little more memory would give
    drawn = plan_plot(plans)
    assert drawn == plan_plot(plans) and drawn.count(b"<path") > 2 * len(plans.plans)


def test_a_version_is_built_as_planned_and_the_next_one_too(shelf: Shelf, plans: Plans) -> None:
    assert plans.chosen is not None
    recipe = Recipe(plans.chosen.codec, 0.9, planned=True)
    for given in (recipe, None):
        row = build(shelf.catalog, shelf.config, shelf.encoder, silent, recipe=given)
        assert row is not None
        version = Version.load(shelf.catalog, row)
        held = {str(modality): resident_bytes(index) for modality, index in version.indexes.items()}
        assert held == pytest.approx(plans.chosen.held, rel=0.02) and set(held) == {"image", "text"}
        assert sum(plans.chosen.held.values()) == plans.chosen.bytes <= plans.memory
        assert read_manifest(shelf.config.home / row.folder)["plan"]["recall"] == 0.9
        assert all(index.depths and index.depths.recall >= 0.85 for index in version.indexes.values())
        assert all(index.explained(100)["measured_recall"] >= 0.85 for index in version.indexes.values())
    assert Recipe.of(shelf.catalog, shelf.config) == recipe


def test_what_cannot_be_is_refused_with_what_can(shelf: Shelf, command: Any) -> None:
    kept = len(shelf.catalog.versions())
    code, _, errors = command(shelf.config.home, "build", "--memory", "1kB", "--recall", "0.9")
    assert code == 2 and "fit into 1.0 kB and recall 0.90; the nearest possible plan is" in errors
    assert len(shelf.catalog.versions()) == kept
    found = re.search(r"with --memory (\d+kB)", errors)
    assert found is not None
    code, out, _ = command(shelf.config.home, "build", "--memory", found[1], "--recall", "0.9", "--plan-only", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["chosen"]["bytes"] <= facts["memory"] and facts["index_version"] is None


def test_without_a_budget_the_settings_say_what_is_built(shelf: Shelf, command: Any, tmp_path: Path) -> None:
    svg = tmp_path / "plan.svg"
    few = ("build", "--memory", "90kB", "--recall", "0.8", "--plan-only", "--svg", str(svg))
    code, out, _ = command(shelf.config.home, *few)
    assert code == 0 and "recall@10" in out and "served now" not in out and svg.read_bytes().startswith(b"<?xml")
    code, out, _ = command(shelf.config.home, "build")
    assert code == 0 and "is served now" in out
    assert Recipe.of(shelf.catalog, shelf.config) == Recipe(CodecSettings(), 0.95)


def test_what_was_measured_is_told_where_another_writes_so_that_it_is_not_built(shelf: Shelf, command: Any) -> None:
    kept = len(shelf.catalog.versions())
    with writing(shelf.catalog, "index", silent):
        code, out, errors = command(shelf.config.home, "build", "--memory", "90kB", "--recall", "0.8")
    assert code == 1 and "is writing to the library" in errors and "* hash codes" in out and "served now" not in out
    assert len(shelf.catalog.versions()) == kept


def test_each_size_is_told_before_it_is_trained(plans: Plans, told: list[tuple[str, int, int]]) -> None:
    assert {plan.name for plan in plans.plans} == {what for what, _, _ in told[:-1]}
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
    assert told[-1][1] == told[-1][2]


def test_a_plan_is_measured_under_the_home_and_what_a_killed_one_left_goes(shelf: Shelf) -> None:
    left = shelf.config.home / "plans" / ".tmp-killed"
    left.mkdir(parents=True, exist_ok=True)
    assert left in temporary_files(shelf.config.home)
    with writing(shelf.catalog, "gc", silent):
        assert not left.exists()


def test_a_plan_of_a_library_that_changed_meanwhile_is_not_built(shelf: Shelf) -> None:
    served, items = shelf.catalog.current_version(), PICTURES + PICTURES // 2
    assert served is not None
    fits = Plans([], 100, 0.9, made(100, 1.0), items)
    check_current(shelf.catalog, fits, served)
    with pytest.raises(NotReady, match=f"grew from {items - 1:,} to {items:,} items"):
        check_current(shelf.catalog, replace(fits, items=items - 1), served)
    served.head_id = 7
    with pytest.raises(NotReady, match="another encoder or head"):
        check_current(shelf.catalog, fits, served)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Fewer items than codebooks are trained for, and so wide that rotations take more than all codes."""
    shelf = Shelf(config_at(tmp_path_factory.mktemp("wide")), 256)
    vectors = np.random.default_rng(3).standard_normal((1801, 256), np.float32)
    shelf.add(*(Item(path=f"{i}.jpg") for i in range(len(vectors))), vectors=vectors.tolist())
    build(shelf.catalog, shelf.config, shelf.encoder, silent)
    yield shelf
    shelf.close()


@pytest.mark.parametrize("memory", [100, 200, 250])
def test_what_codes_take_beside_themselves_is_measured_and_smaller_ones_tried(
    wide: Shelf, command: Any, memory: int
) -> None:
    code, out, _ = command(wide.config.home, "build", "--memory", f"{memory}kB", "--plan-only", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["chosen"]["bytes"] <= memory * 1000 and facts["plans"][-1]["bytes"] > memory * 1000
    assert facts["chosen"]["scanned"] and {plan["ms"] for plan in facts["plans"]} == {facts["chosen"]["ms"]}
    reach = [plan for plan in facts["plans"] if plan["bytes"] <= memory * 1000 and plan["recall"] >= 0.95]
    assert not reach or facts["chosen"] == reach[0]  # the smallest


def test_a_plan_says_where_all_items_are_compared_and_what_is_the_least_to_ask_for(wide: Shelf, command: Any) -> None:
    code, _, errors = command(wide.config.home, "build", "--memory", "60kB")
    found = re.search(r"with --memory (\d+kB)", errors)
    assert code == 2 and found is not None
    code, out, _ = command(wide.config.home, "build", "--memory", found[1], "--plan-only")
    assert code == 0 and "(all compared)" in out and "compared one by one" in out


def made(size: int, ms: float, recall: float = 0.96, scanned: bool = False) -> Plan:
    return Plan(f"{size} bytes", CodecSettings(), size, 1, 100, recall, ms, scanned, [])


def test_the_quickest_is_chosen_and_of_equals_the_smallest() -> None:
    assert Plans.of([made(40, 0.5), made(50, 0.3), made(60, 0.1)], 55, 0.95).chosen == made(50, 0.3)
    assert Plans.of([made(50, 0.31), made(40, 0.32)], 55, 0.95).chosen == made(40, 0.32)
    assert Plans.of([made(40, 0.1, 0.9), made(50, 0.3)], 55, 0.95).chosen == made(50, 0.3)
    assert Plans.of([made(60, 0.3), made(40, 0.1, 0.9)], 55, 0.95).chosen is None


def test_where_a_scan_answers_the_smallest_codes_do_and_those_first_that_recall_enough() -> None:
    small, middle, large = made(20, 4.0, 0.5, True), made(40, 3.0, 0.95, True), made(50, 2.0, 0.99, True)
    chosen = Plans.of([large, middle, small], 55, 0.95).chosen
    assert chosen is not None and (chosen.bytes, chosen.ms) == (40, 2.0)
    chosen = Plans.of([large, middle, small], 30, 0.95).chosen
    assert chosen is not None and chosen.bytes == 20


@pytest.mark.parametrize("of_a_plan", [["--plan-only"], ["--recall", "0.9"], ["--svg", "plan.svg"]])
def test_what_is_said_of_a_plan_wants_a_budget(shelf: Shelf, command: Any, of_a_plan: list[str]) -> None:
    kept = shelf.catalog.versions()
    code, _, errors = command(shelf.config.home, "build", *of_a_plan)
    assert code == 2 and of_a_plan[0] in errors and "--memory SIZE" in errors
    assert len(shelf.catalog.versions()) == len(kept)


@pytest.mark.parametrize(
    ("text", "size"), [("64MB", 64_000_000), ("1.5 GiB", 1_500_000_000), ("800", 800), ("2k", 2000)]
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "64 apples", "-3MB", "MB", "0.4", "9" * 400, "2000000GB"])
def test_other_words_are_no_sizes(text: str) -> None:
    with pytest.raises(click.UsageError, match="is no size"):
        Size().convert(text, None, None)


@pytest.mark.parametrize("wrong", [("--recall", "nan"), ("--recall", "1.5"), ("--svg", "nowhere/to/be/plan.svg")])
def test_what_cannot_be_is_refused_before_anything_is_measured(
    wide: Shelf, command: Any, wrong: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.planning.BITS", {})  # measuring would fail otherwise
    code, _, errors = command(wide.config.home, "build", "--memory", "250kB", "--plan-only", *wrong)
    assert code == 2 and wrong[0] in errors


def test_what_recalls_enough_at_no_size_is_told_by_the_best_that_there_is() -> None:
    assert "is 60 bytes, with --memory 1kB --recall 0.90" in Plans.of([made(60, 1, 0.9)], 10, 0.95).refusal()
    assert "fit into 1 byte and recall 0.999999; " in Plans.of([made(60, 1, 0.9)], 1, 0.999999).refusal()
