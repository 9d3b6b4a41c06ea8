"""The JSON endpoint over a real library: answers, refusals, and what never leaves the machine."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from werkzeug.test import TestResponse

from engine.catalog import Catalog, Failure, Job, Root
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Where
from tests.web_library import copy_library
from webui import create_app

SEARCH = "/api/v1/search"
HIT_KEYS = {
    "id", "score", "modality", "path", "caption", "url", "thumbnail", "item", "width", "height", "position",
    "place", "alike", "confidence", "explanation",
}  # fmt: skip

ANSWER_KEYS = {
    "hits", "next", "took_ms", "index_version", "confidence", "band", "mode", "marks", "depths", "notice",
}  # fmt: skip


@pytest.fixture(scope="module")
def picture(catalog: Catalog) -> tuple[int, Path]:
    """An indexed picture: its id and file."""
    [item, *_] = catalog.ids_matching(Where("boats/**"), Modality.IMAGE)
    return item, catalog.item(item).file


def _check_problem(response: TestResponse, status: int) -> str:
    """Every error has the one shape; the sentence for the reader is returned."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body = json.loads(response.data)
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert "Traceback" not in response.text
    return str(body["detail"])


def _ask(client: FlaskClient, **body: Any) -> dict[str, Any]:
    response = client.post(SEARCH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


def _png(width: int = 8, height: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def _upload(client: FlaskClient, data: bytes, **fields: str) -> TestResponse:
    return client.post(SEARCH, data={"image": (io.BytesIO(data), "picture.png"), **fields})


def test_words_find_pictures(client: FlaskClient) -> None:
    answer = _ask(client, text="a red boat", limit=5)
    assert set(answer) == ANSWER_KEYS
    assert len(answer["hits"]) == 5 and isinstance(answer["next"], str)
    assert {"encode", "exact", "catalog", "total"} <= set(answer["took_ms"])
    for hit in answer["hits"]:
        assert set(hit) == HIT_KEYS
        assert hit["modality"] == "image" and hit["item"] == hit["id"]
        assert hit["url"] == f"/media/{hit['id']}" and hit["thumbnail"].startswith(f"/thumbs/{hit['id']}?v=")
        assert hit["position"] is None and hit["place"] is None
        assert not hit["path"].startswith("/")
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_the_three_forms_agree(client: FlaskClient) -> None:
    short = _ask(client, text="a red boat")["hits"]
    assert _ask(client, terms=[{"text": "a red boat"}])["hits"] == short
    assert client.get(SEARCH, query_string={"q": "a red boat"}).get_json()["hits"] == short


def test_pages_join_without_gap_or_repeat(client: FlaskClient) -> None:
    whole = _ask(client, text="tree", limit=40, exact=True)
    assert whole["next"] is None and "exact" in whole["took_ms"]
    ids: list[int] = []
    cursor = None
    while not ids or cursor is not None:
        page = _ask(client, text="tree", limit=7, cursor=cursor, exact=True)
        ids += [hit["id"] for hit in page["hits"]]
        cursor = page["next"]
    assert ids == [hit["id"] for hit in whole["hits"]]
    assert [hit["id"] for hit in _ask(client, text="tree", limit=9, offset=9, exact=True)["hits"]] == ids[9:18]


def test_path_filter(client: FlaskClient) -> None:
    hits = _ask(client, text="a boat", path="trees/**", limit=100)["hits"]
    assert len(hits) == 20
    assert all(hit["path"].startswith("trees/") for hit in hits)


def test_a_picture_finds_itself_and_its_words(client: FlaskClient, picture: tuple[int, Path]) -> None:
    item, file = picture
    data = file.read_bytes()
    encoded = base64.b64encode(data).decode()
    for answer in (
        _ask(client, terms=[{"image": encoded}]),
        _ask(client, terms=[{"image": f"data:image/jpeg;base64,{encoded}"}]),
        _upload(client, data).get_json(),
        _ask(client, terms=[{"item": item}]),
        client.get(SEARCH, query_string={"item": item}).get_json(),
    ):
        scores = {hit["id"]: hit["score"] for hit in answer["hits"]}
        # The tiny model's vectors lie so close together that half precision may put another just before it.
        assert scores[item] > max(scores.values()) - 1e-3 > 0.99
    words = _upload(client, data, modality="text", limit="4", text="red").get_json()["hits"]
    assert len(words) == 4
    assert all(hit["modality"] == "text" and hit["caption"] and hit["item"] != hit["id"] for hit in words)


def test_negative_weight_changes_the_order(client: FlaskClient) -> None:
    plain = _ask(client, terms=[{"text": "red"}], limit=40)["hits"]
    pushed = _ask(client, terms=[{"text": "red"}, {"text": "boat", "weight": -0.9}], limit=40)["hits"]
    assert [hit["id"] for hit in plain] != [hit["id"] for hit in pushed]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "empty"), ({"text": " "}, "empty"), ({"terms": []}, "empty"), ({"text": 3}, "text"),
        ({"txt": "a"}, "txt"), ({"text": "a", "limit": 0}, "limit"), ({"text": "a", "limit": 10**6}, "limit"),
        ({"text": "a", "limit": "5"}, "limit"), ({"text": "a", "limit": True}, "limit"),
        ({"text": "a", "limit": 2.5}, "limit"), ({"text": "a", "offset": -1}, "offset"),
        ({"text": "a", "offset": 10**9}, "offset"), ({"text": "a", "modality": "smell"}, "modality"),
        ({"text": "a", "exact": "yes"}, "exact"), ({"terms": [{}]}, "exactly one"),
        ({"terms": [{"text": "a", "item": 1}]}, "exactly one"), ({"terms": ["a"]}, "terms.0"),
        ({"terms": [{"text": "a", "weight": "x"}]}, "weight"), ({"terms": [{"text": "a", "weight": 1e9}]}, "weight"),
        ({"terms": [{"item": 2**70}]}, "item"), ({"terms": [{"item": 0}]}, "item"),
        ({"terms": [{"image": "&&&"}]}, "base64"), ({"terms": [{"image": "aGVsbG8="}]}, "picture"),
        ({"terms": [{"text": "a"}] * 33}, "terms"),
        ({"terms": [{"image": "a"}] * 5}, "at most 4"), ({"text": "a" * 2001}, "text"),
        ({"terms": [{"text": "a"}, {"text": "a", "weight": -1}]}, "cancel"),
        ([], "object"), ("a", "object"), (7, "object"),
    ],
)  # fmt: skip
def test_bad_json_is_explained(client: FlaskClient, body: Any, word: str) -> None:
    assert word in _check_problem(client.post(SEARCH, json=body), 400)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"text": NaN}', b'{"text": "\\ud800"}'])
def test_a_body_that_is_not_json(client: FlaskClient, raw: bytes) -> None:
    _check_problem(client.post(SEARCH, data=raw, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "query",
    ["", "q=", "q=a&limit=x", "q=a&limit=0", "q=a&colour=red", "q=a&q=b", "item=abc", "item=99999999999999999999",
     "q=a&modality=smell", "q=a&exact=perhaps", "q=a&offset=-1"],
)  # fmt: skip
def test_bad_addresses_are_explained(client: FlaskClient, query: str) -> None:
    assert _check_problem(client.get(f"{SEARCH}?{query}"), 400)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["text", "terms", "item", "image", "weight", "limit", "offset", "path"]) | st.text(),
        inner, max_size=4,
    ),
))  # fmt: skip
def test_no_json_brings_it_down(client: FlaskClient, body: Any) -> None:
    assert client.post(SEARCH, data=json.dumps(body), content_type="application/json").status_code in (
        200, 400, 404,
    )  # fmt: skip


def test_unknown_items(client: FlaskClient) -> None:
    assert "99999" in _check_problem(client.post(SEARCH, json={"terms": [{"item": 99999}]}), 404)
    for address in ("/api/v1/items/99999", f"/api/v1/items/{2**80}", "/api/v1/items/abc", "/api/v1/nothing", "/api"):
        _check_problem(client.get(address), 404)


@pytest.mark.parametrize("address", ["/media/99999", "/thumbs/99999", "/large/99999", "/nothing"])
def test_errors_are_pages_for_who_prefers_them_and_problems_for_all_others(client: FlaskClient, address: str) -> None:
    for accept in ("*/*", "image/avif,image/webp,*/*;q=0.8", "application/json", None):
        _check_problem(client.get(address, headers={} if accept is None else {"Accept": accept}), 404)
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = client.get(address, headers={"Accept": browser})
    assert page.status_code == 404 and page.mimetype == "text/html"
    _check_problem(client.get(address, headers={"Accept": "*/*", "Host": "evil.example"}), 400)
    refused = client.get(address, headers={"Accept": browser, "Host": "evil.example"})
    assert refused.status_code == 400 and refused.mimetype == "text/html"


def test_methods_and_kinds_that_are_not_taken(client: FlaskClient) -> None:
    response = client.delete(SEARCH)
    _check_problem(response, 405)
    assert "POST" in response.headers["Allow"]
    _check_problem(client.post(SEARCH, data="text=a", content_type="text/plain"), 415)
    _check_problem(client.post(SEARCH, data={"text": "a"}), 415)


def test_uploads_that_cannot_be_used(client: FlaskClient, library: Config) -> None:
    assert "known format" in _check_problem(_upload(client, b"no picture"), 400)
    assert "image" in _check_problem(client.post(SEARCH, data={"other": (io.BytesIO(_png()), "a.png")}), 400)
    _check_problem(client.post(SEARCH, data={"text": "a"}, content_type="multipart/form-data"), 400)
    _check_problem(_upload(client, _png(), limit="many"), 400)
    _check_problem(_upload(client, _png(200, 200)[:100], limit="3"), 400)
    small = replace(library, serve=replace(library.serve, max_upload_bytes=2000, max_upload_pixels=1000))
    strict = create_app(small).test_client()
    assert "2,000" in _check_problem(_upload(strict, b"x" * 3000), 413)
    assert "limit" in _check_problem(_upload(strict, _png(40, 40)), 413)
    _check_problem(strict.post(SEARCH, data=b"x" * 2_000_000, content_type="multipart/form-data; boundary=a"), 413)
    strict.application.extensions["rebus"].catalog.engine.dispose()


def test_a_very_long_strip_is_searched_without_huge_memory(client: FlaskClient) -> None:
    assert _upload(client, _png(1, 30_000)).status_code == 200


def test_a_large_picture_is_searched(client: FlaskClient) -> None:
    assert _upload(client, _png(2000, 1500)).status_code == 200


def test_an_item_with_its_captions(client: FlaskClient, picture: tuple[int, Path]) -> None:
    item, file = picture
    body = client.get(f"/api/v1/items/{item}").get_json()
    assert (body["id"], body["modality"], body["path"]) == (item, "image", f"boats/{file.name}")
    assert body["bytes"] == file.stat().st_size and (body["width"], body["height"]) == (96, 72)
    assert body["split"] in ("train", "val")
    assert len(body["captions"]) == 2
    caption = body["captions"][0]
    assert caption["lang"] == "en" and caption["source"] == "captions.jsonl" and "boat" in caption["text"]
    of_caption = client.get(f"/api/v1/items/{caption['id']}").get_json()
    assert of_caption["modality"] == "text" and of_caption["item"] == item
    assert of_caption["thumbnail"] == body["thumbnail"] and client.get(body["thumbnail"]).status_code == 200


def test_the_state_is_told_without_paths(changed: Config) -> None:
    catalog = Catalog(changed)
    with catalog.session() as session:
        root = session.get_one(Root, 1)
        session.add(Job(kind="index", pid=1, done=1240, total=7000, remaining_s=170.0, message=f"under {root.path}"))
        session.add(Failure(root_id=1, path="a.jpg", stage="decode", reason=f"{root.path}/a.jpg is bad", hint="mend"))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    facts = client.get("/api/v1/status").get_json()
    assert set(facts) == {
        "roots", "items", "files", "pending", "no_encoder", "failures", "failures_by_stage", "failure_reasons",
        "version", "heads", "jobs", "disk_bytes",
    }  # fmt: skip
    assert facts["items"] == {"image": 40, "text": 80} and facts["files"] == 40 and facts["roots"] == ["media1"]
    job = facts["jobs"][0]
    assert job["alive"] and job["line"] == "indexing: 1,240 of 7,000, 3 min left" and job["message"] == "under media1"
    assert facts["failure_reasons"] == [{"count": 1, "stage": "decode", "reason": "media1/a.jpg is bad"}]
    assert "spec" not in facts["version"] and root.path not in json.dumps(facts)
    catalog.engine.dispose()


def test_sounds_are_asked_for_in_vain(client: FlaskClient) -> None:
    for modality in ("audio", "video"):
        answer = _ask(client, text="a red boat", modality=modality)
        assert answer["hits"] == [] and answer["next"] is None


def test_no_answer_holds_a_path_of_this_machine(
    client: FlaskClient, library: Config, picture: tuple[int, Path]
) -> None:
    item, file = picture
    addresses = (f"{SEARCH}?q=a", f"/api/v1/items/{item}", f"/items/{item}", "/", "/?q=boat", "/status", "/readyz",
                 "/api/v1/status", "/metrics")  # fmt: skip
    for address in addresses:
        text = client.get(address).text
        assert str(library.home) not in text and str(file.parent.parent) not in text, address


def test_probes(client: FlaskClient, empty: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok"}
    assert client.get("/readyz").get_json()["status"] == "ready"
    assert empty.get("/healthz").status_code == 200
    _check_problem(empty.get("/readyz"), 503)


def test_before_anything_is_indexed(empty: FlaskClient) -> None:
    assert "rebus index" in _check_problem(empty.post(SEARCH, json={"text": "a"}), 503)
    _check_problem(_upload(empty, _png()), 503)


def test_a_damaged_version_is_reported_without_its_path(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    for file in (config.home / "versions").rglob("*.codes.npy"):
        file.write_bytes(b"altered")
    client = create_app(config).test_client()
    _check_problem(client.get("/readyz"), 503)
    detail = _check_problem(client.post(SEARCH, json={"text": "a"}), 503)
    assert str(tmp_path) not in detail
    client.application.extensions["rebus"].catalog.engine.dispose()


def test_an_encoder_that_is_gone_is_reported_without_its_path(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    catalog = Catalog(config)
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE encoders SET spec = '/nowhere/at/all'")
    client = create_app(config, Searcher(config, catalog)).test_client()
    assert "/nowhere" not in _check_problem(client.post(SEARCH, json={"text": "a"}), 503)
    [item, *_] = catalog.ids_matching(Where(), Modality.IMAGE)
    assert client.post(SEARCH, json={"terms": [{"item": item}]}).status_code == 200
    catalog.engine.dispose()


def test_a_removal_is_seen_by_the_next_search(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    app = create_app(config)
    client, services = app.test_client(), app.extensions["rebus"]
    gone = _ask(client, text="boat", limit=3)["hits"][0]["id"]
    with services.catalog.session() as session:
        session.connection().exec_driver_sql(f"UPDATE items SET removed_at = strftime('%s') + 0.0 WHERE id = {gone}")
    services.freshness.expire()
    assert gone not in [hit["id"] for hit in _ask(client, text="boat", limit=100)["hits"]]
    for address in (f"/media/{gone}", f"/thumbs/{gone}", f"/items/{gone}", f"/api/v1/items/{gone}"):
        assert client.get(address).status_code == 404
    services.catalog.engine.dispose()
