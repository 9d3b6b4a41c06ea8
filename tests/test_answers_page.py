"""What the page says of answers: how sure they are, why they are there, and what people mark good or bad."""

import dataclasses
import re
from collections.abc import Iterator
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from engine import marks
from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Where
from webui import create_app


@pytest.fixture
def app(changed: Config) -> Iterator[Flask]:
    catalog = Catalog(changed)
    yield create_app(changed, Searcher(changed, catalog))
    catalog.engine.dispose()


def csrf(client: FlaskClient, address: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(address).text)
    assert found
    return found[1]


def test_marks_are_put_counted_and_forgotten_by_forms(app: Flask) -> None:
    client, catalog = app.test_client(), app.extensions["rebus"].catalog
    first, second, third, *_ = catalog.ids_matching(Where(), Modality.IMAGE)
    proof = csrf(client, "/?q=a+red+boat")
    said = {"was": "q=a+red+boat&for=text", "csrf": proof}
    answer = client.post("/marks", data={**said, "say": "good", "like": [str(first), str(second)]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?q=a+red+boat&for=text")
    client.post("/marks", data={**said, "say": "bad", "like": str(third)})
    known = marks.of_query(catalog, marks.Asked("a red boat"))
    assert (set(known.good), set(known.bad)) == ({first, second}, {third})
    assert "3 marks of yours count" in client.get("/?q=a+red+boat").text
    assert "3 marks" in client.get("/training").text
    assert "marks of yours" not in client.get("/?q=a+green+tree").text
    client.post("/marks", data={**said, "say": "forget"})
    assert len(marks.of_query(catalog, marks.Asked("a red boat"))) == 0
    for wrong in ({"say": "x"}, {"say": "good", "was": ""}, {"say": "good", "like": "x"}):
        assert client.post("/marks", data={**said, **wrong}).status_code == 400
    assert client.post("/marks", data={**said, "say": "good", "like": "99999"}).status_code == 404
    assert client.post("/marks", data={**said, "csrf": "x", "say": "good", "like": "1"}).status_code == 403


def test_a_read_only_server_takes_no_marks(changed: Config) -> None:
    told = dataclasses.replace(changed, serve=dataclasses.replace(changed.serve, read_only=True))
    app = create_app(told)
    client = app.test_client()
    assert 'name="say"' not in client.get("/?q=boat").text + client.get("/items/1").text
    assert client.post("/marks", data={"was": "q=boat", "say": "good", "like": "1"}).status_code == 403
    app.extensions["rebus"].catalog.engine.dispose()


def test_why_results_are_there(app: Flask) -> None:
    client = app.test_client()
    html = unescape(client.get("/?q=a+red+boat+-tree&explain=1").text)
    asked = {"terms": [{"text": "a red boat"}, {"text": "tree", "weight": -0.5}], "explain": True}
    hits = client.post("/api/v1/search", json=asked).get_json()["hits"]
    assert html.count("let in by") == len(hits) and html.count('class="why"') == len(hits)
    part = hits[0]["explanation"]["parts"][0]
    assert f"<b>{part['term']}</b> {part['share']:+.3f} <small>cosine {part['cosine']:.3f}" in html
    assert 'href="/?q=a+red+boat+-tree"' in html, "the way back"
    assert "--explain" in html and '"explain": true' in html


def test_how_sure_an_answer_is(app: Flask) -> None:
    client = app.test_client()
    for words in ("a red boat", "zebras in a desert"):
        answer = client.post("/api/v1/search", json={"text": words}).get_json()
        html = client.get("/", query_string={"q": words}).text
        said = {"likely": "likely here", "unsure": "unsure", "unlikely": "probably not here", None: "ms</p>"}
        assert said[answer["band"]] in html
        assert ("Probably nothing here" in html) is (answer["band"] == "unlikely")
    html = client.get("/?q=a+boat+min:1").text
    assert "--min 1" in html or "as sure as 1.0" in html
