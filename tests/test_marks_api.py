"""Marks, modes, confidence and explanations at the endpoint."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from engine.catalog import IndexVersion
from engine.config import Config
from tests.test_api import ANSWER_KEYS, HIT_KEYS, _ask, _check_problem, _png
from tests.test_confidence import MADE
from webui import create_app

MARKS = "/api/v1/marks"


@pytest.fixture
def own(changed: Config) -> Iterator[FlaskClient]:
    """The web over a library to change, whose version is calibrated."""
    app = create_app(changed)
    catalog = app.extensions["rebus"].catalog
    with catalog.session() as session:
        session.execute(sa.update(IndexVersion).values(calibration=MADE.facts()))
    yield app.test_client()
    catalog.engine.dispose()


def _post(client: FlaskClient, address: str, **body: Any) -> dict[str, Any]:
    answer = client.post(address, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def _ids(answer: dict[str, Any]) -> list[int]:
    return [hit["id"] for hit in answer["hits"]]


# --- marks ---


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_mark_counts_in_the_next_search_and_is_taken_back(own: FlaskClient, mode: str) -> None:
    asked = {"text": "a red boat", "limit": 10, "mode": mode}
    before = _ask(own, **asked)
    first = _ids(before)[0]
    marked = _post(own, MARKS, text="a red boat", items=[first], good=False)
    assert marked == {"count": 1, "good": [], "bad": [first], "learned": 1}
    after = _ask(own, **asked)
    assert first not in _ids(after) and (before["marks"], after["marks"]) == (0, 1)
    assert _ids(_ask(own, **asked, marks=False)) == _ids(before)
    assert _post(own, MARKS, text="a red boat", items=[first], good=None)["count"] == 1
    assert _ids(_ask(own, **asked)) == _ids(before)


def test_a_picture_s_marks_are_known_by_it(own: FlaskClient) -> None:
    term = {"image": base64.b64encode(_png()).decode()}
    first = _ids(_ask(own, terms=[term]))[0]
    assert _post(own, MARKS, terms=[term], items=[first], good=False) == {
        "count": 1, "good": [], "bad": [first], "learned": 0,
    }  # fmt: skip
    assert first not in _ids(_ask(own, terms=[term])) and first in _ids(_ask(own, text="a red boat", limit=40))
    (kept,) = own.get(MARKS).get_json()["marks"]
    assert (kept["item"], kept["query"], kept["good"]) == (first, None, False)


def test_marks_are_listed_by_pages_and_forgotten_by_number(own: FlaskClient) -> None:
    items = _ids(_ask(own, text="a red boat", limit=5))
    _post(own, MARKS, text="a red boat", items=items, good=True)
    _post(own, MARKS, text="a tree", items=items[:1], good=False)
    seen, cursor = list[int](), None
    while True:
        page = own.get(MARKS, query_string={"limit": 2, **({"cursor": cursor} if cursor else {})}).get_json()
        seen += [mark["id"] for mark in page["marks"]]
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == 6 and seen == sorted(seen, reverse=True) and page["learned"] == 6
    (tree,) = own.get(MARKS, query_string={"q": "a  tree"}).get_json()["marks"]
    assert tree["query"] == "a tree" and own.get(f"{MARKS}?kind=other").get_json()["marks"] == []
    assert _post(own, f"{MARKS}/forget", ids=[tree["id"], 10**9])["count"] == 1
    assert len(own.get(MARKS).get_json()["marks"]) == 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "x", "items": [10**9], "good": True}, 404),
        ({"items": [1], "good": True}, 400),
        ({"text": " ", "items": [1], "good": True}, 400),
        ({"text": "x", "items": [], "good": True}, 400),
        ({"text": "x", "items": [1], "good": "yes"}, 400),
        ({"text": "x", "items": [1]}, 400),
        ({"text": "x\0", "items": [1], "good": True}, 400),
    ],
)
def test_what_cannot_be_marked_is_refused(own: FlaskClient, body: dict[str, Any], status: int) -> None:
    _check_problem(own.post(MARKS, json=body), status)
    assert own.get(MARKS).get_json() == {"marks": [], "next": None, "learned": 0}


def test_a_mark_is_a_change(changed: Config) -> None:
    """Refused when read-only, and without proof that one of our pages or a program asks."""
    client = create_app(replace(changed, serve=replace(changed.serve, read_only=True))).test_client()
    body = {"text": "a red boat", "items": [1], "good": True}
    assert "read-only" in _check_problem(client.post(MARKS, json=body), 403)
    other = create_app(changed).test_client()
    for headers in ({"Referer": "http://localhost/"}, {"Origin": "http://evil.example"}):
        for address in (MARKS, f"{MARKS}/forget"):
            _check_problem(
                other.post(address, json={**body} if address == MARKS else {"ids": [1]}, headers=headers), 403
            )


# --- modes, confidence, explanations ---


def test_text_finds_names_and_says_what_it_is(own: FlaskClient) -> None:
    answer = _ask(own, text="yellow-007", mode="text")
    assert set(answer) == ANSWER_KEYS and answer["mode"] == "text"
    (best, *_) = answer["hits"]
    assert set(best) == HIT_KEYS and best["path"].endswith("yellow-007.jpg")
    assert (best["score"], best["confidence"], answer["confidence"], answer["band"]) == (None, 1.0, 1.0, "likely")


def test_confidence_and_min(own: FlaskClient) -> None:
    answer = _ask(own, text="a red boat", mode="vector", limit=40)
    assert 0 <= answer["confidence"] <= 1 and answer["band"] in ("likely", "unsure", "unlikely")
    least = sorted(hit["confidence"] for hit in answer["hits"])[20]
    kept = [hit["id"] for hit in answer["hits"] if hit["confidence"] >= least]
    assert _ids(_ask(own, text="a red boat", mode="vector", limit=40, min=least)) == kept
    assert "min cuts" in _check_problem(own.post("/api/v1/search", json={"terms": [{"item": 1}], "min": 0.5}), 400)


def test_explanations_on_request(own: FlaskClient) -> None:
    plain = _ask(own, text="a red boat")
    assert all(hit["explanation"] is None for hit in plain["hits"])
    for hit in _ask(own, text="a red boat", mode="hybrid", explain=True)["hits"]:
        why = hit["explanation"]
        assert [part["term"] for part in why["parts"]] == ["a red boat"]
        assert sum(part["share"] for part in why["parts"]) == pytest.approx(hit["score"], abs=1e-4)


@pytest.mark.parametrize("mode", ["hybrid", "text", "vector"])
def test_cursors_walk_without_gap_or_repeat_in_every_mode(own: FlaskClient, mode: str) -> None:
    asked = {"text": "a red boat", "mode": mode}
    whole = _ids(_ask(own, **asked, limit=100))
    walked, cursor = list[int](), None
    while True:
        page = _ask(own, **asked, limit=6, cursor=cursor)
        walked, cursor = walked + _ids(page), page["next"]
        if cursor is None:
            break
    assert walked == whole and len(set(whole)) == len(whole) > 6


def test_a_cursor_of_another_mode_is_foreign(own: FlaskClient) -> None:
    cursor = _ask(own, text="a red boat", limit=5, mode="hybrid")["next"]
    body = {"text": "a red boat", "limit": 5, "mode": "vector", "cursor": cursor}
    assert "same search" in _check_problem(own.post("/api/v1/search", json=body), 400)


def test_batches_and_streams_take_modes_too(own: FlaskClient) -> None:
    searches = [{"text": "yellow-007", "mode": mode} for mode in ("text", "hybrid")]
    text, hybrid = _post(own, "/api/v1/search/batch", searches=searches)["answers"]
    assert _ids(text)[0] == _ids(hybrid)[0]
    lines = own.post("/api/v1/search/stream", json={"text": "yellow-007", "mode": "text"}).text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == _ids(text)


def test_clip_retrieval_is_answered_by_vectors(own: FlaskClient) -> None:
    first = _ids(_ask(own, text="a red boat", mode="vector", fold=False))
    _post(own, MARKS, text="a red boat", items=first[:1], good=False)
    found = own.post("/knn-service", json={"text": "a red boat", "num_images": 5}).get_json()
    assert [hit["id"] for hit in found] == first[:5]
