"""The endpoint's further operations: similar, batches, streams, embeddings, lists, facets, cursors, its document."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from engine.catalog import Catalog, Embedding, FactsRow, Item
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Where
from tests.test_api import _ask, _check_problem, _png
from webui import create_app

SEARCH = "/api/v1/search"


@pytest.fixture
def own(changed: Config) -> Iterator[FlaskClient]:
    """The web over a library to change."""
    app = create_app(changed)
    yield app.test_client()
    app.extensions["rebus"].catalog.engine.dispose()


def _get(client: FlaskClient, address: str) -> Any:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def _catalog(client: FlaskClient) -> Catalog:
    found: Catalog = client.application.extensions["rebus"].catalog
    return found


def _changed(client: FlaskClient) -> None:
    """The next request looks again at what the library holds."""
    client.application.extensions["rebus"].freshness.expire()


# --- cursors ---


def _walk(client: FlaskClient, between: Any = lambda number: None, **asked: Any) -> list[int]:
    ids: list[int] = []
    cursor, number = None, 0
    while number == 0 or cursor is not None:
        page = _ask(client, cursor=cursor, **asked)
        ids += [hit["id"] for hit in page["hits"]]
        cursor, number = page["next"], number + 1
        between(number)
    return ids


def test_pages_follow_each_other_while_items_go(own: FlaskClient) -> None:
    whole = _walk(own, text="tree", limit=40)
    gone: list[int] = []

    def remove(number: int) -> None:
        """One that was shown, the very last that was shown, and one that was not."""
        shown = whole[: number * 6]
        new = [i for i in (shown[0], shown[-1], *whole[number * 6 + 4 : number * 6 + 5]) if i not in gone]
        gone.extend(new)
        with _catalog(own).session() as session:
            session.execute(sa.update(Item).where(Item.id.in_(new)).values(removed_at=sa.func.strftime("%s") + 0.0))
        _changed(own)

    pages = _walk(own, lambda number: remove(number) if number < 4 else None, text="tree", limit=6)
    unseen = {i for i in gone if i not in pages}
    assert pages == [i for i in whole if i not in unseen] and len(set(pages)) == len(pages)
    assert 0 < len(unseen) <= 4


def test_a_page_of_which_all_is_gone_is_not_the_last(own: FlaskClient) -> None:
    whole = _walk(own, text="tree", mode="vector", limit=40)

    def remove(number: int) -> None:
        if number == 1:
            with _catalog(own).session() as session:
                session.execute(sa.update(Item).where(Item.id == whole[1]).values(removed_at=1e10))
            own.application.extensions["rebus"].freshness._last = time.monotonic() + 60  # it looked a moment ago

    assert _walk(own, remove, text="tree", mode="vector", limit=1) == [whole[0], *whole[2:]]


def test_pages_follow_each_other_while_items_come(own: FlaskClient) -> None:
    whole = _walk(own, text="tree", limit=40)
    hidden = set(whole[:12:3])  # good ones that come back while somebody turns pages
    catalog = _catalog(own)
    with catalog.session() as session:
        rows = session.scalars(sa.select(Embedding).where(Embedding.item_id.in_(hidden))).all()
        session.execute(sa.update(Item).where(Item.id.in_(hidden)).values(removed_at=1.0))
        session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(hidden)))
    own.application.extensions["rebus"].searcher._version = None
    _changed(own)

    def come(number: int) -> None:
        if number == 2:
            with catalog.session() as session:
                session.execute(sa.update(Item).where(Item.id.in_(hidden)).values(removed_at=None))
                for row in rows:
                    session.add(Embedding(item_id=row.item_id, encoder_id=1, shard=row.shard, row=row.row))
            _changed(own)

    pages = _walk(own, come, text="tree", limit=6)
    old = [i for i in whole if i not in hidden]
    assert [i for i in pages if i not in hidden] == old and len(set(pages)) == len(pages)


def test_a_cursor_of_another_space_is_gone(own: FlaskClient) -> None:
    cursor = _ask(own, text="tree", limit=5)["next"]
    with _catalog(own).session() as session:
        session.connection().exec_driver_sql("UPDATE encoders SET fingerprint = 'x' || fingerprint")
    version = own.application.extensions["rebus"].searcher.version
    own.application.extensions["rebus"].searcher._live.version = replace(version, fingerprint="another")
    detail = _check_problem(own.post(SEARCH, json={"text": "tree", "limit": 5, "cursor": cursor}), 410)
    assert "from the start" in detail


@pytest.mark.parametrize("cursor", ["", "x", "!!!", "e30", "eyJhIjoxfQ", "A" * 1000, "é"])
def test_what_is_no_cursor_is_told(client: FlaskClient, cursor: str) -> None:
    _check_problem(client.post(SEARCH, json={"text": "tree", "cursor": cursor}), 400)
    _check_problem(client.get(SEARCH, query_string={"q": "tree", "cursor": cursor}), 400)


def test_a_cursor_belongs_to_its_search(client: FlaskClient) -> None:
    cursor = _ask(client, text="tree", limit=5)["next"]
    for other in ({"text": "boat"}, {"text": "tree", "path": "boats/**"}, {"text": "tree", "modality": "text"}):
        _check_problem(client.post(SEARCH, json={**other, "cursor": cursor}), 400)
    _check_problem(client.post(SEARCH, json={"text": "tree", "cursor": cursor, "offset": 3}), 400)
    assert client.get(SEARCH, query_string={"q": "tree", "limit": 5, "cursor": cursor}).status_code == 200


# --- many, streams, embeddings ---


def test_a_batch_answers_each_in_its_place(client: FlaskClient) -> None:
    searches: list[dict[str, Any]] = [{"text": "a red boat", "limit": 3}, {"text": " "}, {"terms": [{"item": 99999}]},
                                      {"text": "a tree", "modality": "text", "limit": 2}]  # fmt: skip
    answer = client.post(f"{SEARCH}/batch", json={"searches": searches})
    assert answer.status_code == 200
    first, empty, missing, last = answer.get_json()["answers"]
    assert first["hits"] == _ask(client, **searches[0])["hits"] and last["hits"] == _ask(client, **searches[3])["hits"]
    assert (empty["status"], missing["status"]) == (400, 404)
    bad: Any
    for bad in ({}, {"searches": []}, {"searches": [{"text": "a"}] * 33}, {"searches": [{"txt": "a"}]}):
        _check_problem(client.post(f"{SEARCH}/batch", json=bad), 400)
    pictures = [{"terms": [{"image": "a"}]}] * 5
    assert "4" in _check_problem(client.post(f"{SEARCH}/batch", json={"searches": pictures}), 400)


def test_a_stream_is_lines_of_hits(client: FlaskClient) -> None:
    answer = client.post(f"{SEARCH}/stream", json={"text": "tree", "limit": 10_000, "exact": True})
    assert answer.status_code == 200 and answer.mimetype == "application/x-ndjson"
    hits = [json.loads(line) for line in answer.text.splitlines()]
    assert hits == _ask(client, text="tree", limit=1000, exact=True)["hits"] and len(hits) == 40
    for bad in ({"limit": 10_001}, {"limit": 9_000, "offset": 2_000}, {"cursor": "a"}):
        _check_problem(client.post(f"{SEARCH}/stream", json={"text": "tree", **bad}), 400)
    _check_problem(client.post(f"{SEARCH}/stream", json={"text": ""}), 400)


def test_what_is_encoded_can_be_searched_with(client: FlaskClient) -> None:
    inputs = [{"text": "a red boat"}, {"item": 1}, {"text": "a tree"}]
    answer = client.post("/api/v1/encode", json={"inputs": inputs}).get_json()
    assert set(answer) == {"vectors", "dim", "space"} and len(answer["vectors"]) == 3
    for given, vector in zip(inputs, answer["vectors"], strict=True):
        assert len(vector) == answer["dim"] and sum(x * x for x in vector) == pytest.approx(1, abs=1e-5)
        by_vector = _ask(client, terms=[{"vector": vector}])["hits"]
        assert [hit["id"] for hit in by_vector] == [hit["id"] for hit in _ask(client, terms=[given])["hits"]]
    doubled = [2 * x for x in answer["vectors"][0]]
    mixed = _ask(client, terms=[{"vector": doubled, "weight": 0.5}, {"text": "a tree", "weight": 0.5}])["hits"]
    plain = _ask(client, terms=[{"text": "a red boat"}, {"text": "a tree"}])["hits"]
    assert [hit["id"] for hit in mixed] == [hit["id"] for hit in plain]


@pytest.mark.parametrize(
    ("vector", "word"),
    [([1.0, 2.0], "fit"), ([0.0] * 32, "direction"), ([1e308] * 32, "direction"), ([], "vector"), ("x", "vector")],
)
def test_vectors_that_cannot_be_meant(client: FlaskClient, vector: Any, word: str) -> None:
    dim = client.post("/api/v1/encode", json={"inputs": [{"text": "a"}]}).get_json()["dim"]
    given = vector if word != "direction" else vector[:1] * dim
    assert word in _check_problem(client.post(SEARCH, json={"terms": [{"vector": given}]}), 400)


def test_a_vector_is_told_apart_from_a_picture(client: FlaskClient) -> None:
    body = {"inputs": [{"text": "a", "vector": [1.0]}]}
    assert "exactly one" in _check_problem(client.post("/api/v1/encode", json=body), 400)
    assert _png()  # the helpers of test_api are shared


# --- items, captions, similar, facets, state ---


def test_what_is_similar_leaves_the_item_out(client: FlaskClient, catalog: Catalog) -> None:
    item = catalog.ids_matching(Where("boats/**"), Modality.IMAGE)[0]
    page = _get(client, f"/api/v1/items/{item}/similar?limit=6")
    ids = [hit["id"] for hit in page["hits"]]
    assert item not in ids and len(ids) == 6
    more = _get(client, f"/api/v1/items/{item}/similar?limit=6&cursor={page['next']}")
    assert not {hit["id"] for hit in more["hits"]} & {*ids, item}
    words = _get(client, f"/api/v1/items/{item}/similar?modality=text&path=boats/**")["hits"]
    assert words and all(hit["modality"] == "text" and hit["path"].startswith("boats/") for hit in words)
    paged, following = list[int](), ""
    while following is not None and len(paged) < 8:
        one = _get(client, f"/api/v1/items/{item}/similar?limit=1&cursor={following}".removesuffix("&cursor="))
        paged, following = paged + [hit["id"] for hit in one["hits"]], one["next"]
    assert paged == (ids + [hit["id"] for hit in more["hits"]])[:8]
    _check_problem(client.get("/api/v1/items/99999/similar"), 404)
    _check_problem(client.get(f"/api/v1/items/{item}/similar?q=a"), 400)


def test_items_are_listed_the_newest_first(own: FlaskClient) -> None:
    ids: list[int] = []
    cursor = ""
    while cursor is not None:
        page = _get(own, f"/api/v1/items?limit=7{cursor and f'&cursor={cursor}'}")
        ids += [hit["id"] for hit in page["items"]]
        cursor = page["next"]
    assert ids == sorted(_catalog(own).ids_matching(Where(), Modality.IMAGE), reverse=True) and len(ids) == 40
    trees = _get(own, "/api/v1/items?path=trees/**&modality=text&limit=1000")["items"]
    assert len(trees) == 40 and all(hit["score"] is None and hit["caption"] for hit in trees)
    for bad in ("cursor=x", "cursor=-1", f"cursor={2**80}", "limit=0", "offset=3", "near=1"):
        _check_problem(own.get(f"/api/v1/items?{bad}"), 400)


def test_items_near_a_place(own: FlaskClient) -> None:
    ids = _catalog(own).ids_matching(Where(), Modality.IMAGE)
    with _catalog(own).session() as session:
        session.execute(sa.delete(FactsRow))
        for number, item in enumerate(ids[:5]):
            session.add(FactsRow(item_id=item, latitude=38.7 + number, longitude=-9.1))
    near = _get(own, "/api/v1/items?near=38.7,-9.1,150&limit=2")
    assert [hit["id"] for hit in near["items"]] == [ids[1], ids[0]] and near["next"] is None
    assert _get(own, "/api/v1/facets?near=38.7,-9.1,150")["folder"][0]["count"] == 2


def test_captions_come_in_pages(client: FlaskClient, catalog: Catalog) -> None:
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    first = _get(client, f"/api/v1/items/{item}/captions?limit=1")
    second = _get(client, f"/api/v1/items/{item}/captions?limit=1&cursor={first['next']}")
    whole = _get(client, f"/api/v1/items/{item}")["captions"]
    assert first["captions"] + second["captions"] == whole and second["next"] is None


def test_facets_count_what_the_filters_keep(own: FlaskClient) -> None:
    ids = _catalog(own).ids_matching(Where("boats/**"), Modality.IMAGE)
    years = (-100.0, 0.0, 86400.0 * 365.5, 1_686_787_200.0, 1_686_787_200.0)
    with _catalog(own).session() as session:
        session.execute(sa.delete(FactsRow))
        for number, (item, taken) in enumerate(zip(ids, years, strict=False)):
            session.add(FactsRow(item_id=item, taken_at=taken, camera="Leica M6" if number % 2 else None))
    found = _get(own, "/api/v1/facets")
    assert found["total"] == 40 and found["modalities"] == {"image": 40, "text": 80}
    assert {row["value"]: row["count"] for row in found["folder"]} == {"boats": 20, "trees": 20}
    assert {row["value"]: row["count"] for row in found["taken"]} == {"1969": 1, "1970": 1, "1971": 1, "2023": 2}
    assert found["camera"] == [{"value": "Leica M6", "count": 2}]
    for facet in ("taken", "camera"):
        for row in found[facet]:
            narrowed = _get(own, f"/api/v1/facets?{facet}={row['value'].replace(' ', '+')}")
            assert narrowed["total"] == row["count"], row
    assert _get(own, "/api/v1/facets?path=boats/**&modality=text")["folder"] == [{"value": "boats", "count": 40}]


def test_stats_jobs_and_versions(client: FlaskClient, catalog: Catalog, library: Config) -> None:
    stats = _get(client, "/api/v1/stats")
    assert stats["items"] == {"image": 40, "text": 80} and stats["captions"] == {"en": 80}
    files = [catalog.item(i).file for i in catalog.ids_matching(Where(), Modality.IMAGE)]
    assert stats["media_bytes"]["image"] == sum(file.stat().st_size for file in files)
    versions = _get(client, "/api/v1/versions")["versions"]
    assert [row["served"] for row in versions] == [True] + [False] * (len(versions) - 1)
    current = catalog.current_version()
    assert current is not None and versions[0]["id"] == current.id and versions[0]["counts"] == current.counts
    assert str(library.home) not in json.dumps(versions)
    assert _get(client, "/api/v1/jobs")["jobs"] == _get(client, "/api/v1/status")["jobs"]


# --- the document ---


def test_every_operation_is_described(client: FlaskClient) -> None:
    document = _get(client, "/openapi.json")
    assert document["openapi"].startswith("3.1")
    described = {(path, method) for path, ways in document["paths"].items() for method in ways}
    for rule in client.application.url_map.iter_rules():
        if rule.rule.startswith("/api/") or rule.endpoint.startswith(("compat.", "probes.")):
            path = rule.rule.replace("<int(max=9223372036854775807):item_id>", "{item_id}")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                assert (path, method.lower()) in described, (path, method)
    for path, ways in document["paths"].items():
        for method, operation in ways.items():
            assert operation["summary"] and "default" in operation["responses"], (path, method)


def test_every_parameter_and_field_is_described(client: FlaskClient) -> None:
    document = _get(client, "/openapi.json")
    told = {
        (path, given["name"]): given.get("description", "")
        for path, ways in document["paths"].items()
        for operation in ways.values()
        for given in operation.get("parameters", ())
    }
    told |= {
        (name, field): given.get("description", "")
        for name, shape in document["components"]["schemas"].items()
        for field, given in shape.get("properties", {}).items()
    }
    assert len(told) > 200
    assert {where: text for where, text in told.items() if not 5 < len(text) < 200 or not text.endswith(".")} == {}


def test_the_page_of_the_document_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    html = client.get("/docs").text
    assert "//" not in html.replace("<!doctype html>", "") and "<script>" not in html
    for address in ("/docs/swagger_bundle.js", "/docs/swagger_style.css"):
        answer = client.get(address)
        assert answer.status_code == 200 and len(answer.data) > 100_000 and address in html
    for name in ("redoc.js", "..%2f__init__.py", "x"):
        assert client.get(f"/docs/{name}").status_code == 404


def test_the_readme_tells_of_every_operation(client: FlaskClient) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    for path in _get(client, "/openapi.json")["paths"]:
        assert f"`{path.removeprefix('/api/v1').replace('{item_id}', 'ID')}`" in readme, path


def test_searching_beside_a_searcher_of_its_own(library: Config, catalog: Catalog) -> None:
    """Two applications over one catalog give the same cursors: any process behind a proxy may go on."""
    one, two = (create_app(library, Searcher(library, catalog)).test_client() for _ in range(2))
    cursor = _ask(one, text="tree", limit=5)["next"]
    assert (
        _ask(two, text="tree", limit=5, cursor=cursor)["hits"] == _ask(one, text="tree", limit=5, cursor=cursor)["hits"]
    )
