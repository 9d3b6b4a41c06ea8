"""Folding near-duplicates in results: one of each group, pages that follow on each other, and counts that are right."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import Catalog, Item
from engine.config import Config
from engine.search import Searcher
from engine.types import Hit, Modality, Query, Term, Where
from indexer.build import build
from tests.conftest import config_at, silent
from tests.shelves import Shelf
from tests.web_library import copy_library
from webui import create_app


def shelf_of(home: Path, groups: list[int], candidates: int) -> tuple[Shelf, Searcher]:
    """Published pictures in these groups (0: alone), after a first one that is alone."""
    shelf = Shelf(config_at(home, search={"candidates": candidates}, codec={"bits": 64}), 16)
    vectors = np.random.default_rng(len(groups)).standard_normal((len(groups) + 1, 16))
    ids = shelf.add(*(Item(path=f"{n}.jpg") for n in range(len(vectors))), vectors=vectors.tolist())
    for group in set(groups) - {0}:
        members = [i for i, its in zip(ids[1:], groups, strict=True) if its == group]
        shelf.change(members, group_id=members[0])
    build(shelf.catalog, shelf.config, shelf.encoder, silent)
    return shelf, Searcher(shelf.config, shelf.catalog)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=50), st.integers(1, 60), st.integers(1, 20), st.booleans())
def test_pages_show_each_group_once_and_nothing_else_is_lost(
    groups: list[int], candidates: int, limit: int, exact: bool
) -> None:
    with TemporaryDirectory() as folder:
        shelf, searcher = shelf_of(Path(folder) / "home", groups, candidates)
        query = Query((Term(item=1),), limit=limit, exact=exact)
        everything = searcher.search(replace(query, limit=100, fold=False)).hits
        assert len(everything) == len(groups) + 1 and {hit.alike for hit in everything} == {0}
        shown: list[Hit] = []
        more = True
        while more:
            page = searcher.search(replace(query, offset=len(shown)))
            shown, more = [*shown, *page.hits], page.more
            assert len(page.hits) == limit or not more
        grouped = shelf.groups()
        by_group: dict[int, list[Hit]] = {}
        for hit in everything:
            by_group.setdefault(grouped.get(hit.id, hit.id), []).append(hit)
        assert sorted(grouped.get(hit.id, hit.id) for hit in shown) == sorted(by_group)
        assert [hit.alike for hit in shown] == [len(by_group[grouped.get(hit.id, hit.id)]) - 1 for hit in shown]
        if exact or candidates > len(groups):
            best = [max(members, key=lambda hit: (hit.order, -hit.id)) for members in by_group.values()]
            assert [hit.order for hit in shown] == sorted((hit.order for hit in best), reverse=True)
        shelf.close()


@pytest.fixture
def shelved(tmp_path: Path) -> Iterator[tuple[Shelf, Searcher]]:
    shelf, searcher = shelf_of(tmp_path / "home", [1, 1, 1, 2, 2, 0], 100)
    yield shelf, searcher
    shelf.close()


def test_the_group_of_an_item_that_is_asked_for_is_shown_whole(shelved: tuple[Shelf, Searcher]) -> None:
    shelf, searcher = shelved
    liked = searcher.search(Query((Term(item=3),))).hits
    assert sorted(hit.id for hit in liked if shelf.groups().get(hit.id) == 2) == [2, 3, 4]
    assert sorted(hit.alike for hit in liked) == [0, 0, 0, 0, 0, 1] and len(liked) == 6
    pushed = searcher.search(Query((Term(item=1), Term(item=3, weight=-0.5)))).hits
    assert len(pushed) == 4


def test_a_removed_copy_is_not_counted(shelved: tuple[Shelf, Searcher]) -> None:
    shelf, searcher = shelved
    first = {hit.id: hit.alike for hit in searcher.search(Query((Term(item=1),))).hits}
    assert sorted(first.values()) == [0, 0, 1, 2]
    hidden = {2, 3, 4} - set(first)
    shelf.change([min(hidden)], removed_at=1e9)
    searcher.refresh()
    assert sorted(hit.alike for hit in searcher.search(Query((Term(item=1),))).hits) == [0, 0, 1, 1]


def test_a_filter_folds_what_it_lets_through(shelved: tuple[Shelf, Searcher]) -> None:
    shelf, searcher = shelved
    shelf.change([4, 5], path="below/x.jpg", parent_id=1)
    hits = searcher.search(Query((Term(item=1),), where=Where(path="below/*"))).hits
    assert sorted(hit.id for hit in hits) == [4, 5]


def test_captions_are_never_folded(library: Config) -> None:
    catalog = Catalog(library)
    searcher = Searcher(library, catalog)
    folded = searcher.search(Query((Term(text="a red boat"),), Modality.TEXT, limit=100))
    assert len(folded.hits) == 80 and not folded.more
    catalog.engine.dispose()


# --- the page and the endpoint ---


@pytest.fixture
def client(library: Config, tmp_path: Path) -> Iterator[FlaskClient]:
    """The page over a library whose first three pictures are near-duplicates."""
    config = copy_library(library, tmp_path)
    catalog = Catalog(config)
    with catalog.session() as session:
        first = session.scalars(sa.select(Item.id).where(Item.modality == "image").order_by(Item.id).limit(3)).all()
        session.execute(sa.update(Item).where(Item.id.in_(first)).values(group_id=first[0]))
    app = create_app(config)
    yield app.test_client()
    catalog.engine.dispose()


def test_the_endpoint_folds_unless_told_not_to(client: FlaskClient) -> None:
    folded, whole = (
        client.post("/api/v1/search", json={"text": "boat", "limit": 100, "fold": fold}).get_json()["hits"]
        for fold in (True, False)
    )
    assert (len(folded), len(whole)) == (38, 40)
    assert sorted(hit["alike"] for hit in folded)[-2:] == [0, 2] and not any(hit["alike"] for hit in whole)
    by_address = client.get("/api/v1/search?q=boat&limit=100&fold=false").get_json()["hits"]
    assert by_address == whole


def test_a_tile_says_how_many_are_alike_and_leads_to_them(client: FlaskClient) -> None:
    page = client.get("/?q=boat").get_data(as_text=True)
    assert page.count('class="alike"') <= 1
    while 'class="alike"' not in page:
        page = client.get(page.split('id="more" rel="next" href="')[1].split('"')[0].replace("&amp;", "&")).text
    link = page.split('class="alike" href="')[1].split('"')[0]
    assert "+2 alike" in page
    liked = client.get(link).get_data(as_text=True)
    assert 'class="alike"' not in liked
