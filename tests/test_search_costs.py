"""What a search asks of the catalog: few statements, however many hits and threads there are."""

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from engine.types import Mode, Term
from tests.conftest import ask, searching

THREADS = 12  # more than SQLAlchemy keeps connections for by itself


@pytest.fixture(scope="module")
def searcher(library: Config) -> Iterator[Searcher]:
    with searching(library) as searcher:
        yield searcher


@contextmanager
def heard(catalog: Catalog, event: str) -> Iterator[list[Any]]:
    """What happens at the catalog's engine meanwhile."""
    found: list[Any] = []

    def hear(*told: Any) -> None:
        found.append(told)

    sa.event.listen(catalog.engine, event, hear)
    try:
        yield found
    finally:
        sa.event.remove(catalog.engine, event, hear)


@pytest.mark.parametrize(
    ("words", "mode", "most"),
    [
        ("a red boat", Mode.VECTOR, 4),  # marks, groups, hits, and the calibration where there is none yet
        ("zebras of unheard colours", Mode.HYBRID, 5),  # all words counted at once
        ("boat", Mode.HYBRID, 6),  # what holds it
        ("a red boat", Mode.HYBRID, 7),  # what holds every word
    ],
)
def test_a_search_asks_few_statements(searcher: Searcher, words: str, mode: Mode, most: int) -> None:
    ask(searcher, Term(text=words), mode=mode, limit=24, fold=True)
    with heard(searcher.catalog, "before_cursor_execute") as statements:
        results = ask(searcher, Term(text=words), mode=mode, limit=24, fold=True)
    assert len(results.hits) == 24
    assert len(statements) <= most, [told[2] for told in statements]


def test_serving_threads_keep_their_connections(library: Config) -> None:
    config = dataclasses.replace(library, serve=dataclasses.replace(library.serve, threads=THREADS))
    catalog = Catalog(config)
    together = threading.Barrier(THREADS)

    def read() -> None:
        with catalog.reading() as connection:
            together.wait(timeout=120)  # all of them are open at once
            connection.exec_driver_sql("SELECT 1").one()

    with heard(catalog, "connect") as opened:
        for _ in range(3):
            threads = [threading.Thread(target=read) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    catalog.engine.dispose()
    assert THREADS - 1 <= len(opened) <= THREADS  # one was there already, to look at the schema
