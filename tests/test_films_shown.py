"""Moments of films on the search page: grouped by film, with where in it they lie."""

import re
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from engine.catalog import Catalog, FactsRow
from engine.config import Config
from engine.search import Searcher
from tests.web_library import Kinds, add_kinds, copy_library
from webui import create_app
from webui.films import films
from webui.schemas import HitOut


@pytest.fixture(scope="module")
def kinds(library: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Kinds]:
    config = copy_library(library, tmp_path_factory.mktemp("films"))
    return config, add_kinds(config)


@pytest.fixture
def shown(kinds: tuple[Config, Kinds]) -> Iterator[tuple[FlaskClient, Catalog]]:
    catalog = Catalog(kinds[0])
    yield create_app(kinds[0], Searcher(kinds[0], catalog)).test_client(), catalog
    catalog.engine.dispose()


def test_moments_are_grouped_by_film_with_a_timeline(
    shown: tuple[FlaskClient, Catalog], kinds: tuple[Config, Kinds]
) -> None:
    client, catalog = shown
    with catalog.session() as session:
        session.merge(FactsRow(item_id=kinds[1].film, duration_ms=100_000))
    html = client.get("/?q=a+boat&for=video").text
    assert html.count("data-film=") == 1 and f'data-film="{kinds[1].film}"' in html
    assert "film.webm</a> <small>2 moments of 2 min" in html
    assert sorted(re.findall(r'class="mark" x="([\d.]+)"', html)) == ["0.0", "830.0"]
    assert 'role="img" aria-label="Moments at ' in html and "1:23" in html
    assert f'name="like" value="{kinds[1].moment}"' in html


def test_a_film_of_unknown_length_and_what_is_no_film(
    shown: tuple[FlaskClient, Catalog], kinds: tuple[Config, Kinds]
) -> None:
    _, catalog = shown
    with catalog.session() as session:
        session.merge(FactsRow(item_id=kinds[1].film, duration_ms=None))
    hits = [HitOut.of_view(view) for view in catalog.items([kinds[1].moment, kinds[1].film])]
    [film] = films(catalog, hits)
    assert film.marks == [1000.0, 0.0] and film.duration_ms is None
    assert films(catalog, []) == []
