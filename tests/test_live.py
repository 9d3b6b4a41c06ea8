"""What a Searcher serves, against brute force, through any order of adding, removing, publishing and going back."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.catalog import Catalog
from engine.errors import NotFound
from engine.search import Searcher
from engine.turns import choose, roll_back
from engine.types import Modality, Query, Term
from indexer.build import is_current
from indexer.history import listed
from tests.served import Served
from webui.services import REFRESH_S, Freshness, Services

COMMITTING = Path(__file__).parent / "committing.py"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    library = Served(tmp_path)
    library.add(20)
    library.publish()
    yield library
    library.close()


class Library(RuleBasedStateMachine):
    """One searcher looks after every step, one now and then; both must find what brute force finds."""

    ids: Bundle[list[int]] = Bundle("ids")
    template: Served

    @initialize(target=ids)
    def begin(self) -> list[int]:
        self.place = tempfile.TemporaryDirectory()
        self.library = Served.copy(self.template, Path(self.place.name))
        self.known = set(self.library.vectors)
        self.searcher, self.seldom = (Searcher(self.library.config, Catalog(self.library.config)) for _ in range(2))
        self.seldom.refresh()  # a program that begins when all was forgotten has nothing to serve yet
        return sorted(self.library.vectors)

    @rule(target=ids, count=st.integers(1, 5))
    def add(self, count: int) -> list[int]:
        ids = self.library.add(count)
        assert not set(ids) & self.known, "an id was used again"
        self.known |= set(ids)
        return ids

    @rule(ids=ids, share=st.integers(1, 3))
    def remove(self, ids: list[int], share: int) -> None:
        self.library.remove(ids[::share])

    @rule(ids=ids)
    def restore(self, ids: list[int]) -> None:
        self.library.restore(ids)

    @rule(ids=ids)
    def edit(self, ids: list[int]) -> None:
        self.library.embed([i for i in ids if i in self.library.vectors][:3])

    @rule()
    def publish(self) -> None:
        self.library.publish()

    @rule()
    def go_back(self) -> None:
        before = self.library.catalog.current_version()
        try:
            went = roll_back(self.library.catalog).id
            assert before is not None and went < before.id
        except NotFound:
            assert before is None or all(row.id >= before.id for row in self.library.catalog.versions())

    @precondition(lambda self: self.library.catalog.versions())
    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from([row.id for row in self.library.catalog.versions()]))
        choose(self.library.catalog, chosen)
        self.searcher.refresh()
        assert self.searcher.version.id == chosen

    @rule()
    def collect(self) -> None:
        self.library.collect()

    @rule()
    def start_anew(self) -> None:
        self.seldom.catalog.engine.dispose()
        self.seldom = Searcher(self.library.config, Catalog(self.library.config))
        if not self.library.catalog.versions():
            self.library.add(1)
            self.library.publish()
        self.seldom.refresh()

    @rule()
    def look_seldom(self) -> None:
        self.library.check(self.seldom)

    @invariant()
    def finds_what_is_there(self) -> None:
        self.library.check(self.searcher)

    def teardown(self) -> None:
        for searcher in (self.searcher, self.seldom):
            searcher.catalog.engine.dispose()
        self.library.close()
        self.place.cleanup()


def test_any_order_of_changes_is_served_as_brute_force_finds_it(served: Served) -> None:
    Library.template = served
    run_state_machine_as_test(
        Library,
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )


def test_adding_removing_and_adding_again_changes_nothing(served: Served) -> None:
    searcher = Searcher(served.config, served.catalog)
    some = sorted(served.vectors)[::2]
    for _ in range(3):
        served.remove(some)
        served.remove(some)
        assert searcher.refresh()
        assert len(searcher.version.indexes[Modality.IMAGE]) == 10
        served.restore(some)
        served.restore(some)
        assert searcher.refresh() and not searcher.refresh()
        assert len(searcher.version.indexes[Modality.IMAGE]) == 20
        served.check(searcher)


def test_what_is_added_after_all_was_forgotten_is_served_at_once(served: Served) -> None:
    searcher = Searcher(served.config, served.catalog)
    served.check(searcher)
    for _ in range(2):  # the second time, nothing was published in between
        served.remove(sorted(served.vectors))
        served.collect()
        assert not served.catalog.versions()
        searcher.refresh()
        assert not sum(map(len, searcher.version.indexes.values())) and not searcher.refresh()
        served.add(3)
        served.check(searcher)
    served.publish()
    served.check(searcher)
    assert searcher.version.id > 0


def test_what_removals_took_out_is_not_read_again(served: Served) -> None:
    searcher = Searcher(served.config, served.catalog)
    served.remove(sorted(served.vectors)[:4])
    assert [searcher.refresh() for _ in range(3)] == [True, False, False]
    served.remove(sorted(served.vectors)[:1])
    assert [searcher.refresh() for _ in range(2)] == [True, False]
    served.check(searcher)


@pytest.fixture
def other() -> "Iterator[Other]":
    process = Other()
    yield process
    process.end()


class Other:
    """Another process, which commits when it is told to."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.committing"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words: object) -> float:
        """Tell it; when it had committed, by the clock that all processes share."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        """Wait until it has ended."""
        self.process.communicate()
        assert self.process.returncode == 0


def test_what_another_process_commits_is_found_within_half_a_second(served: Served, other: Other) -> None:
    """No search that begins later than that after the commit is without it, however slow the machine is."""
    assert REFRESH_S <= 0.5
    services = Services(served.config, Searcher(served.config, Catalog(served.config)))
    asked = min(served.vectors)
    query = Query((Term(item=asked),), limit=100, fold=False)
    there = len(services.search(query).hits)
    for command, change in (("add", 1), ("remove", -1), ("restore", 1), ("add", 1)):
        committed = other(served.config.home, command, max(served.vectors))
        there += change
        began, wrong = time.monotonic(), list[float]()
        while len(services.search(query).hits) != there:
            wrong.append(began - committed)
            began = time.monotonic()
        assert all(late < REFRESH_S for late in wrong)
    services.catalog.engine.dispose()


class Interrupted(Searcher):
    """While it looks for what is new, somebody else changes that, and says so."""

    looked = 0
    freshness: Freshness

    def refresh(self) -> bool:
        changed = super().refresh()
        self.looked += 1
        self.freshness.expire()
        return changed


def test_what_changes_while_another_looks_is_looked_for_by_the_next(served: Served) -> None:
    searcher = Interrupted(served.config, served.catalog)
    searcher.freshness = Freshness(searcher)
    for looked in (1, 2):
        searcher.freshness.ensure()
        assert searcher.looked == looked


def test_no_request_is_dropped_while_versions_come_and_go(served: Served) -> None:
    """Searches beside publishing, going back, compacting and pruning: each finds all that was there all along."""
    kept = sorted(served.vectors)
    services = Services(served.config, Searcher(served.config, Catalog(served.config)))
    ended, wrong, asked = threading.Event(), list[str](), [0, 0]

    def ask(worker: int) -> None:
        query = Query((Term(item=kept[worker]),), limit=1000, fold=False)
        while not ended.is_set() or not asked[worker]:
            try:
                services.freshness.expire()
                found = [hit.id for hit in services.search(query).hits]
                if not set(kept) <= set(found) or len(set(found)) != len(found):
                    wrong.append(f"{len(found)} found")
            except Exception as error:
                wrong.append(repr(error))
            asked[worker] += 1

    threads = [threading.Thread(target=ask, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        new = served.add(8)
        served.publish()
        roll_back(served.catalog)
        served.remove(new)
        served.publish()
        served.collect()
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and min(asked) > 0
    served.check(services.searcher)
    services.catalog.engine.dispose()


def test_a_large_library_is_built_anew_only_when_its_delta_has_grown(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = served.encoder()
    assert is_current(served.catalog, encoder)
    served.add(1)
    assert not is_current(served.catalog, encoder)  # a small one always is
    monkeypatch.setattr("indexer.build._SMALL", 10)
    assert is_current(served.catalog, encoder) and not is_current(served.catalog, encoder, wholly=True)
    served.remove(sorted(served.vectors)[:1])
    assert is_current(served.catalog, encoder)  # two of twenty
    served.add(1)
    assert not is_current(served.catalog, encoder)
    served.publish()
    assert is_current(served.catalog, encoder, wholly=True)
    served.check(Searcher(served.config, served.catalog))
    assert listed(served.catalog)[0]["newer"] == 0
