"""What the page says of answers: how sure they are, why they are there, and what people mark good or bad."""

import dataclasses
import re
from collections.abc import Iterator
from html import unescape

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from engine import marks
from engine.catalog import Catalog, HeadRow, IndexVersion
from engine.confidence import Calibration
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


def test_a_banner_says_once_that_there_are_enough_marks(app: Flask) -> None:
    client, catalog = app.test_client(), app.extensions["rebus"].catalog
    items = catalog.ids_matching(Where(), Modality.IMAGE)
    item = f"/items/{items[0]}"
    marks.put(catalog, marks.Asked("a red boat"), items[:19], True)
    assert "enough to learn from" not in client.get("/?q=tree").text
    assert "19 marks" in client.get("/training").text and "enough for another" not in client.get("/training").text
    marks.put(catalog, marks.Asked("a tree"), items[:2], False)
    for address in ("/", "/?q=tree", item):
        assert "21 new marks of yours are enough to learn from" in client.get(address).text, address
    assert "21 are new since the last training: enough for another" in client.get("/training").text
    later = unescape(re.findall(r'href="([^"]+)">Not now', client.get(item).text)[0])
    answer = client.get(later)
    assert answer.headers["Location"] == item and "HttpOnly" in answer.headers["Set-Cookie"]
    assert client.get("/marks/later?next=//evil.example").headers["Location"] == "/"
    for address in ("/", "/?q=tree", item):
        assert "enough to learn from" not in client.get(address).text, address
    with catalog.session() as session:
        session.add(HeadRow(encoder_id=1, method="ridge", folder="heads/x", report={}))
    assert marks.to_learn(catalog) == marks.ToLearn(21, 0, 1)
    assert "enough to learn from" not in app.test_client().get("/").text, "they were learned from"
    marks.put(catalog, marks.Asked("a sea"), items[:20], True)
    assert "20 new marks of yours are enough" in client.get("/").text, "others have come since"


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


@pytest.mark.parametrize(
    ("bias", "word"), [(4.0, "likely here"), (0.0, "unsure"), (-4.0, "probably not here"), (None, "ms</span></p>")]
)
def test_how_sure_an_answer_is(changed: Config, bias: float | None, word: str) -> None:
    catalog = Catalog(changed)
    facts = None if bias is None else Calibration(0.0, 0.0, bias, 100, 40, 0.9).facts()
    with catalog.session() as session:
        session.execute(sa.update(IndexVersion).values(calibration=facts))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    html = unescape(client.get("/?q=a+red+boat").text)
    assert word in html and ("Probably nothing here" in html) is (bias == -4.0)
    if bias == -4.0:
        surer = re.findall(r'href="([^"]+)">Leave out what is unlikely', html)
        assert surer == ["/?q=a+red+boat+min:0.3"]
        assert "Nothing here is as sure as 0.3" in client.get(surer[0]).text
    if bias == 4.0:
        assert "--min 0.5" in client.get("/?q=a+red+boat+min:0.5").text
    catalog.engine.dispose()
