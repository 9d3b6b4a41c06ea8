"""What a hostile page, file or caption must not reach: escaping, roots, headers, host names, traces."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from PIL import Image

from engine.catalog import Catalog, FactsRow, Item, Keyword, Root
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Where
from tests.web_library import HOSTILE, copy_library, fetch, make_hostile
from webui import create_app


def test_hostile_captions_and_names_are_escaped(changed: Config) -> None:
    item = make_hostile(changed)
    client = create_app(changed).test_client()
    for address in (
        "/",
        "/?q=a",
        "/?q=a&for=text",
        f"/items/{item}",
        "/?path=<img+src=x>",
        "/?q=<img+src=x>",
        "/<img>",
    ):
        html = client.get(address).text
        assert "<img src=x" not in html and "<img>" not in html, address
    assert "&lt;img" in client.get(f"/items/{item}").text
    response = fetch(client, f"/media/{item}")
    assert response.status_code == 200 and "\n" not in response.headers["Content-Disposition"]
    client.application.extensions["rebus"].catalog.engine.dispose()
    assert HOSTILE not in html


def test_hostile_facts_are_escaped(changed: Config) -> None:
    catalog = Catalog(changed)
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    with catalog.session() as session:
        session.execute(sa.delete(FactsRow))
        session.add(FactsRow(item_id=item, camera=HOSTILE, place=HOSTILE, title=HOSTILE, taken_at=0.0))
        session.add(Keyword(item_id=item, word=HOSTILE))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    html = client.get(f"/items/{item}").text
    assert "<img src=x" not in html and html.count("&lt;img src=x") >= 3
    catalog.engine.dispose()


def test_nothing_outside_a_root_is_served(changed: Config, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    Image.new("RGB", (9, 9)).save(secret)
    catalog = Catalog(changed)
    first, second, third, *_ = catalog.ids_matching(Where(), Modality.IMAGE)
    outside = (tmp_path / "media1").resolve()
    link = outside / "boats" / "link.jpg"
    link.symlink_to(secret)
    with catalog.session() as session:
        for item, path in ((first, "../secret.jpg"), (second, str(secret)), (third, "boats/link.jpg")):
            statement = "UPDATE items SET path = ?, content_hash = ? WHERE id = ?"
            session.connection().exec_driver_sql(statement, (path, f"{item:032x}", item))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    for item in (first, second, third):
        assert fetch(client, f"/media/{item}").status_code == 404
        assert fetch(client, f"/thumbs/{item}").status_code == 404
    for address in ("/media/..%2f..%2fetc%2fpasswd", "/static/../services.py", "/media/0", f"/media/{2**80}"):
        assert fetch(client, address).status_code == 404
    catalog.engine.dispose()


def test_only_kinds_of_pictures_are_named_to_a_browser(changed: Config) -> None:
    catalog = Catalog(changed)
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    file = catalog.item(item).file
    file.rename(file.with_suffix(".html"))
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE items SET path = replace(path, '.jpg', '.html')")
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    assert fetch(client, f"/media/{item}").status_code == 404
    catalog.engine.dispose()


def test_an_unexpected_failure_shows_neither_trace_nor_path(changed: Config, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(changed)
    catalog = app.extensions["rebus"].catalog
    with catalog.session() as session:
        session.connection().exec_driver_sql("DROP TABLE captions")
    client = app.test_client()
    page, problem = client.get("/"), client.get("/api/v1/items/1")
    for response in (page, problem):
        assert response.status_code == 500
        assert "sqlite" not in response.text.lower() and "Traceback" not in response.text
    assert problem.mimetype == "application/problem+json"
    assert "no such table" in caplog.text
    catalog.engine.dispose()


@pytest.mark.parametrize("address", ["/", "/?q=boat", "/status", "/nothing", "/api/v1/search?q=a", "/api/v1/nothing",
                                     "/static/rebus.css", "/healthz"])  # fmt: skip
def test_every_answer_carries_the_security_headers(client: FlaskClient, address: str) -> None:
    headers = fetch(client, address).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("address", ["/", "/?q=boat", "/?q=boat&for=text", "/status", "/nothing"])
def test_nothing_is_inline(client: FlaskClient, address: str) -> None:
    html = client.get(address, headers={"Accept": "text/html"}).text
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="/static/rebus.js">']


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8765", 200), ("127.0.0.1", 200), ("[::1]:80", 200), ("evil.example", 400),
     ("localhost.evil.example", 400),
     ("localhost:8765, evil.example", 400), ("localhost:x", 400), ("192.168.1.5:8765", 400), ("[", 400), ("", 400)],
)  # fmt: skip
def test_only_our_own_names_are_answered(client: FlaskClient, host: str, status: int) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_beyond_loopback_only_the_name_it_was_told(library: Config, catalog: Catalog) -> None:
    told = replace(library, serve=replace(library.serve, host="photos.example"))
    client = create_app(told, Searcher(library, catalog)).test_client()
    assert client.get("/healthz", headers={"Host": "photos.example:8765"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "localhost"}).status_code == 400


def test_a_line_break_in_a_file_name_breaks_no_header(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    catalog = Catalog(config)
    with catalog.session() as session:
        item = session.scalars(sa.select(Item).where(Item.modality == "image")).first()
        assert item is not None
        root = Path(session.get_one(Root, item.root_id).path)
        name = "a\r\nSet-Cookie: x=1\n.jpg"
        (root / item.path).rename(root / name)
        item.path = name
    catalog.engine.dispose()
    answer = fetch(create_app(config).test_client(), f"/media/{item.id}")
    assert answer.status_code == 200 and "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("ending", "mimetype", "saved"),
    [
        (".svg", "application/octet-stream", True),
        (".pdf", "application/octet-stream", True),
        (".cr2", "application/octet-stream", True),
        (".md", "text/plain", False),
        (".avif", "image/avif", False),
        (".mp4", "video/mp4", False),
    ],
)
def test_what_may_carry_a_script_is_saved_and_never_shown(
    changed: Config, ending: str, mimetype: str, saved: bool
) -> None:
    catalog = Catalog(changed)
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    file = catalog.item(item).file
    file.rename(file.with_suffix(ending))
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE items SET path = replace(path, '.jpg', ?)", (ending,))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    with fetch(client, f"/media/{item}") as response:
        assert (response.status_code, response.mimetype) == (200, mimetype)
        assert response.headers.get("Content-Disposition", "").startswith("attachment") is saved
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    catalog.engine.dispose()
