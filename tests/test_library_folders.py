"""A library of several folders: each can be chosen by its name, and none says where it lies."""

import json
import re
from collections.abc import Iterator
from html import unescape

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from engine.catalog import Catalog, Item, Root
from engine.config import Config
from engine.facets import known_facets
from engine.types import Modality, Where
from webui import create_app

PARENT = "/somewhere/of/anna"


@pytest.fixture
def client(changed: Config) -> Iterator[FlaskClient]:
    """Its trees lie in a root of their own, called `50% %_trees`; another root holds nothing."""
    catalog = Catalog(changed)
    with catalog.session() as session:
        session.add_all([root := Root(path=f"{PARENT}/50% %_trees"), Root(path=f"{PARENT}/empty")])
        session.flush()
        session.execute(sa.update(Item).where(Item.folder == "trees").values(root_id=root.id))
    yield create_app(changed).test_client()
    catalog.engine.dispose()


def test_a_folder_of_the_library_is_chosen_in_the_box_and_in_the_address(client: FlaskClient) -> None:
    page = unescape(client.get("/facets?q=red").text)
    section = re.findall(r'data-values="root".*?</section>', page, re.DOTALL)[0]
    links = re.findall(r'href="([^"]+)">([^<]+) <small>([\d,]+)', section)
    assert {label: count for _, label, count in links} == {"50% %_trees": "20", "media1": "20"}
    chosen = next(address for address, label, _ in links if label == "50% %_trees")
    found = unescape(client.get(chosen).text)
    trees = client.application.extensions["rebus"].catalog.ids_matching(Where("trees/**"), Modality.IMAGE)
    shown = set(map(int, re.findall(r'href="/items/(\d+)', found)))
    assert "Library folder: 50% %_trees" in found and shown and shown <= set(trees)
    assert "--root" in found and '"root": "50% %_trees"' in found, "as a command, and as a call"
    assert client.get('/?q=root:"a/b"').status_code == 400


def test_the_endpoint_counts_and_filters_by_folder_of_the_library(client: FlaskClient) -> None:
    counts = client.get("/api/v1/facets").get_json()
    assert {row["value"]: row["count"] for row in counts["root"]} == {"50% %_trees": 20, "media1": 20}
    hits = client.post("/api/v1/search", json={"text": "red", "root": "50% %_trees", "limit": 100}).get_json()["hits"]
    assert len(hits) == 20 and {hit["path"].split("/")[0] for hit in hits} == {"trees"}
    assert client.get("/api/v1/items", query_string={"root": "nowhere"}).get_json()["items"] == []


def test_a_folder_of_the_library_is_named_in_any_case(client: FlaskClient) -> None:
    for name in ("50% %_TREES", "50% %_Trees"):
        assert client.get("/api/v1/facets", query_string={"root": name}).get_json()["total"] == 20


def test_nothing_tells_where_a_folder_lies(client: FlaskClient) -> None:
    for asked in ("anna/50% %_trees", f"{PARENT}/50% %_trees"):
        assert client.get("/api/v1/facets", query_string={"root": asked}).status_code == 400
    for part in ("trees", "% %_trees", "5__ %_trees", "%"):
        assert client.get("/api/v1/facets", query_string={"root": part}).get_json()["total"] == 0, part
    assert PARENT not in json.dumps(client.get("/api/v1/facets").get_json()) + client.get("/facets").text


def test_a_library_of_one_folder_offers_no_choice_of_it(changed: Config) -> None:
    catalog = Catalog(changed)
    assert "root" not in known_facets(catalog)
    everything = catalog.ids_matching(Where(), Modality.IMAGE)
    assert catalog.ids_matching(Where(root="media1"), Modality.IMAGE) == everything
    catalog.engine.dispose()
