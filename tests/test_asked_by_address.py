"""GET /api/v1/search: `q` means what the search page's box means, `text` is plain words."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.test_api import SEARCH, _ask, _check_problem


def _get(client: FlaskClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(SEARCH, query_string={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    hits: list[dict[str, Any]] = answer.get_json()["hits"]
    return hits


def test_q_is_read_as_the_box_is(client: FlaskClient) -> None:
    terms = [{"text": "boat"}, {"text": "red", "weight": -0.5}]
    assert _get(client, q="boat -red") == _ask(client, terms=terms, limit=100)["hits"]
    assert _get(client, q="boat path:trees/") == _ask(client, text="boat", path="trees/**", limit=100)["hits"]
    assert {hit["modality"] for hit in _get(client, q="boat type:text")} == {"text"}
    found = _get(client, q="boat", limit=2)
    assert _get(client, q=f"like:{found[0]['id']}") == _get(client, item=found[0]["id"])


def test_plain_words_are_asked_for_by_text(client: FlaskClient) -> None:
    plain = _ask(client, text="boat -red", limit=100)["hits"]
    assert _get(client, text="boat -red") == plain == _get(client, q='"boat -red"')
    assert plain != _get(client, q="boat -red")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"q": "boat taken:yesterday"}, "taken"), ({"q": "boat min:5"}, "min:5"), ({"q": "like:boat"}, "like:boat"),
        ({"q": "boat type:smell"}, "type:smell"), ({"q": "boat path:a", "path": "b"}, "path="),
        ({"q": "a type:text", "modality": "image"}, "modality="), ({"q": "a min:0.3", "min": 0.2}, "min="),
        ({"q": "-a " * 40}, "at most 32"), ({"q": "path:boats/"}, "empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_explained(client: FlaskClient, query: dict[str, Any], word: str) -> None:
    assert word in _check_problem(client.get(SEARCH, query_string=query), 400)


def test_examples_stay_among_the_hits_here_and_are_left_out_on_the_page(client: FlaskClient) -> None:
    given = [hit["id"] for hit in _get(client, text="boat", limit=3)]
    for found in (
        _get(client, item=given),
        _get(client, q=" ".join(f"like:{item}" for item in given)),
        _ask(client, terms=[{"item": item} for item in given], limit=100)["hits"],
    ):
        assert set(given) <= {hit["id"] for hit in found}
    for query in ({"q": " ".join(f"like:{item}" for item in given)}, {"like": given}):
        page = client.get("/", query_string=query, headers={"Accept": "text/html"}).text
        shown = set(map(int, re.findall(r'data-item="(\d+)"', page)))
        assert shown and not shown & set(given), query
