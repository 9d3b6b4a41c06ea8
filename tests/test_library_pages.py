"""The pages about the library: map, work and versions, training, evaluation; and static files as they travel."""

import gzip
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from safetensors.numpy import save

from engine.atlas import _spread, draw_atlas, keep_atlas, kept_atlas
from engine.catalog import Catalog, EncoderRow, HeadRow, Item
from engine.config import Config
from engine.search import Searcher
from engine.status import MAPS, REPORT
from indexer.care.leftovers import unnamed_folders
from tests.made_library import publish
from tests.web_library import HOSTILE, fetch, make_hostile
from webui import create_app

STATIC = Path(__file__).parent.parent / "webui" / "static"


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    """The web over a library of twelve files with two versions."""
    catalog = Catalog(config)
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, 1)
    publish(config, encoder)
    yield create_app(config, Searcher(config, catalog))
    catalog.engine.dispose()


def form(html: str) -> dict[str, str]:
    """What the first form of the versions sends."""
    csrf = re.search(r'action="/versions"><input type="hidden" name="csrf" value="([^"]+)"', html)
    version = re.search(r'name="version" value="(\d+)"', html)
    assert csrf and version
    return {"csrf": csrf[1], "version": version[1]}


def map_page(client: FlaskClient) -> str:
    """The library's page once its map is drawn."""
    until = time.monotonic() + 120
    while "data-drawing" in (html := client.get("/library").text):
        assert time.monotonic() < until
        for thread in [client.application.extensions["rebus"].maps._thread]:
            thread.join(60)
    return html


def test_a_map_is_the_same_each_time_and_alike_pictures_lie_together(library: Config, catalog: Catalog) -> None:
    version = Searcher(library, catalog).version
    first, second = draw_atlas(catalog, version), draw_atlas(catalog, version, most=40)
    assert np.array_equal(first.places, second.places) and len(first.ids) == first.of == 40
    assert first.places.min() == 0 and first.places.max() == 1
    few = draw_atlas(catalog, version, most=9)
    assert len(few.ids) == 9 and few.of == 40 and set(few.ids) <= set(first.ids)
    assert len(draw_atlas(catalog, version, most=7).ids) == 0


def test_more_pictures_than_landmarks_lie_beside_those_they_are_like() -> None:
    rng = np.random.default_rng(0)
    heaps = rng.normal(size=(6, 32))
    rows = heaps[np.arange(1500) % 6] + 0.3 * rng.normal(size=(1500, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    places = _spread(rows)
    assert places.shape == (1500, 2) and places.min() >= 0 and places.max() <= 1
    far = ((places[:, None] - places[None]) ** 2).sum(2)
    near = far.argsort(1)[:, 1:11]
    assert (near % 6 == np.arange(1500)[:, None] % 6).mean() > 0.95


def test_a_map_is_kept_and_what_is_no_map_is_drawn_again(changed: Config) -> None:
    catalog = Catalog(changed)
    version = Searcher(changed, catalog).version
    assert kept_atlas(changed.home, version.id) is None
    drawn = draw_atlas(catalog, version)
    keep_atlas(changed.home, drawn)
    kept = kept_atlas(changed.home, version.id)
    assert kept is not None and (kept.version, kept.of) == (drawn.version, drawn.of)
    assert np.array_equal(kept.ids, drawn.ids) and np.array_equal(kept.places, drawn.places)
    file = changed.home / MAPS / f"{version.id}.safetensors"
    whole = file.read_bytes()
    places = (drawn.places[1:], drawn.places * 9, drawn.places.astype(np.float64))
    wrong = [save({"ids": kept.ids, "places": np.ascontiguousarray(other)}, {"of": "40"}) for other in places]
    for spoiled in (b"", whole[:-1], save({"ids": kept.ids}), *wrong):
        file.write_bytes(spoiled)
        assert kept_atlas(changed.home, version.id) is None
    file.write_bytes(whole)
    other = file.with_name("99.safetensors")
    other.write_bytes(whole)
    assert unnamed_folders(catalog) == [other], "swept with what versions that are gone have left"
    catalog.engine.dispose()


def test_a_kept_map_is_shown_at_once_and_without_what_is_gone(config: Config) -> None:
    catalog = Catalog(config)
    first = create_app(config, Searcher(config, catalog)).test_client()
    map_page(first)
    told = first.get("/library/map.bin")
    items = first.application.extensions["rebus"].maps.newest().items
    assert len(items) == 12 and len(told.data) == 12 * 12
    assert first.get("/library/map.bin", headers={"If-None-Match": told.headers["ETag"]}).status_code == 304
    with catalog.session() as session:
        session.get_one(Item, items[0]).removed_at = 1.0
    second = create_app(config, Searcher(config, catalog)).test_client()
    html = second.get("/library").text
    assert "data-drawing" not in html and len(re.findall(r"M\d+ \d+h0", html)) == 11
    packed = np.frombuffer(second.get("/library/map.bin").data, np.uint8).reshape(12, 11)
    assert np.cumsum(packed[:2].T @ [1, 256]).tolist() == list(items[1:])
    catalog.engine.dispose()


def test_the_map_is_drawn_beside_serving_and_once_a_version(app: Flask) -> None:
    client = app.test_client()
    told = client.get("/library/map.bin")
    assert told.status_code == 503 and int(told.headers["Retry-After"]) > 0
    html = map_page(client)
    links = re.findall(r'<a href="/items/(\d+)"><title>([^<]+)</title>', html)
    assert 4 <= len(links) <= 12 and len(re.findall(r"M\d+ \d+h0", html)) == 12
    maps = app.extensions["rebus"].maps
    drawn = maps.newest()
    assert drawn is maps.newest() and "12 image" not in html
    client.post("/versions", data=form(client.get("/status").text))
    assert client.get("/api/v1/search?item=1").status_code == 200  # looks at what is served now
    with maps._searcher.catalog.session() as session:
        session.get_one(Item, drawn.items[0]).removed_at = 1.0
    meanwhile = maps.newest()
    assert (meanwhile.version, meanwhile.items) == (drawn.version, drawn.items[1:]), "the one before, while it is drawn"
    assert client.get("/library/map.bin").status_code == 200
    maps._thread.join(60)
    assert maps.newest().version != drawn.version


def test_a_map_that_could_not_be_drawn_says_so(changed: Config) -> None:
    catalog = Catalog(changed)
    searcher = Searcher(changed, catalog)
    for shard in searcher.version.store.folder.glob("*"):
        shard.unlink()
    html = map_page(create_app(changed, searcher).test_client())
    assert "could not be drawn" in html and "too few pictures" not in html
    catalog.engine.dispose()


def test_hostile_captions_on_the_map_are_escaped(changed: Config) -> None:
    make_hostile(changed)
    app = create_app(changed)
    html = map_page(app.test_client())
    assert HOSTILE not in html and "&lt;img src=x" in html
    app.extensions["rebus"].catalog.engine.dispose()


def test_a_version_is_chosen_by_a_form_of_ours(app: Flask) -> None:
    client = app.test_client()
    catalog = app.extensions["rebus"].catalog
    served, before = (row.id for row in catalog.versions())
    html = client.get("/status").text
    fields = form(html)
    assert fields["version"] == str(before) and html.index(f"<td>{served}</td>") < html.index(f"<td>{before}</td>")
    assert client.post("/versions", data={**fields, "csrf": "x"}).status_code == 403
    assert client.post("/versions", data=fields, headers={"Origin": "http://evil.example"}).status_code == 403
    assert catalog.current_version().id == served
    for wrong, status in (("x", 400), ("0", 400), ("99", 404), (str(2**80), 400)):
        assert client.post("/versions", data={**fields, "version": wrong}).status_code == status
    answer = client.post("/versions", data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/status#versions")
    assert catalog.current_version().id == before
    assert client.get("/api/v1/search?item=1").get_json()["index_version"] == before


def test_a_read_only_server_offers_and_does_no_change(config: Config, app: Flask) -> None:
    open_client = app.test_client()
    fields = form(open_client.get("/status").text)
    client = create_app(replace(config, serve=replace(config.serve, read_only=True))).test_client()
    html = client.get("/status").text
    assert "Serve this" not in html and "kept" in html
    assert client.post("/versions", data=fields).status_code == 403
    client.application.extensions["rebus"].catalog.engine.dispose()


def test_who_logged_in_can_log_out(config: Config) -> None:
    token = "a-token-of-the-tests"
    app = create_app(replace(config, serve=replace(config.serve, token=token)))
    client = app.test_client()
    csrf = re.findall(r'name="csrf" value="([^"]+)"', client.get("/login").text)[0]
    client.post("/login", data={"csrf": csrf, "token": token})
    html = client.get("/training", headers={"Accept": "text/html"}).text
    csrf = re.findall(r'action="/logout"><input type="hidden" name="csrf" value="([^"]+)"', html)[0]
    assert client.post("/logout").status_code == 403
    assert client.post("/logout", data={"csrf": csrf}).headers["Location"] == "/login"
    assert client.get("/training", headers={"Accept": "text/html"}).status_code == 302
    app.extensions["rebus"].catalog.engine.dispose()


def test_heads_are_compared(app: Flask) -> None:
    client, catalog = app.test_client(), app.extensions["rebus"].catalog
    assert "rebus train" in client.get("/training").text and client.get("/training/curves.svg").status_code == 404
    curve = [{"epoch": epoch, "r10": 0.1 * epoch, "loss": 1.0} for epoch in range(3)]
    for method in ("ridge", HOSTILE[:30]):
        report = {
            "held_out": {"t2i_r10": 0.25, "i2t_r10": 0.5}, "seconds": 2.0, "verdict": "better", "parameters": 1000,
            "curve": curve,
        }  # fmt: skip
        with catalog.session() as session:
            session.add(HeadRow(encoder_id=1, method=method, folder="heads/x", report=report))
    html = client.get("/training").text
    assert html.count("<meter") == 4 and "0.250" in html and "<img src=x" not in html
    drawing = client.get("/training/curves.svg")
    assert drawing.mimetype == "image/svg+xml" and b"<svg" in drawing.data and b"<img" not in drawing.data


def test_the_last_report_is_shown_as_it_is_and_can_do_nothing(app: Flask, config: Config) -> None:
    client = app.test_client()
    assert "rebus eval --report" in client.get("/evaluation").text
    assert client.get("/evaluation/report").status_code == 404
    (config.home / REPORT).write_text("<!doctype html><title>answers</title>", encoding="utf-8")
    assert 'href="/evaluation/report"' in client.get("/evaluation").text
    answer = client.get("/evaluation/report")
    policy = answer.headers["Content-Security-Policy"]
    assert "answers" in answer.text and policy.startswith("sandbox; default-src 'none'") and "script" not in policy
    answer.close()


def test_before_anything_is_published(empty: FlaskClient) -> None:
    for address in ("/library", "/status", "/training", "/evaluation"):
        assert empty.get(address).status_code == 200
    assert "rebus index" in empty.get("/library").text


def test_static_files_travel_compressed_and_nothing_else_does(app: Flask) -> None:
    client = app.test_client()
    plain = fetch(client, "/static/rebus.css")
    small = fetch(client, "/static/rebus.css", Accept_Encoding="gzip, br")
    assert "Content-Encoding" not in plain.headers and small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.data) == plain.data == (STATIC / "rebus.css").read_bytes()
    assert len(small.data) < len(plain.data) / 2 and "Accept-Encoding" in small.headers["Vary"]
    tag = small.headers["ETag"]
    assert fetch(client, "/static/rebus.css", If_None_Match=tag, Accept_Encoding="gzip").status_code == 304
    for address in ("/", "/api/v1/status"):
        assert "Content-Encoding" not in fetch(client, address, Accept_Encoding="gzip").headers
