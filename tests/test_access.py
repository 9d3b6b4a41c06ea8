"""Who is let in: the token in each of its forms, the cookie, CSRF, read-only serving, rates, names, places."""

import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from engine.catalog import Catalog, FactsRow
from engine.config import Config
from engine.errors import ConfigError
from engine.search import Searcher
from engine.types import Modality, Where
from webui import create_app
from webui.access import beyond_loopback, token_of

TOKEN = "a-token-of-the-tests"
FAR = {"REMOTE_ADDR": "203.0.113.9"}
Make = Callable[..., Flask]


@pytest.fixture
def make(library: Config, catalog: Catalog) -> Iterator[Make]:
    """Makes applications over the shared library that serve beyond this machine, unless told otherwise."""

    def call(config: Config = library, **changes: Any) -> Flask:
        settings = {"host": "0.0.0.0", "token": TOKEN, "names": ("localhost", "photos.example"), **changes}
        told = replace(config, serve=replace(config.serve, **settings))
        return create_app(told, Searcher(told, catalog if config is library else Catalog(config)))

    yield call


def _login(client: FlaskClient, token: str = TOKEN, **fields: str) -> Any:
    form = client.get("/login")
    found = re.search(r'name="csrf" value="([^"]+)"', form.text)
    assert found
    return client.post("/login", data={"csrf": found[1], "token": token, **fields})


def test_nothing_is_told_without_the_token(make: Make) -> None:
    client = make().test_client()
    for rule in make().url_map.iter_rules():
        address = re.sub(r"<[^>]*:(item_id|head_id)>", "1", rule.rule).replace("<name>", "x")
        address = address.replace("<path:filename>", "rebus.css")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = client.open(address, method=method, headers={"Accept": "application/json"})
            expected = {"/login": (200, 403), "/healthz": (200,), "/readyz": (200,), "/static/rebus.css": (200,)}
            assert answer.status_code in expected.get(address, (401,)), (method, address)
            answer.close()


def test_the_token_in_a_header_and_in_the_path(make: Make, catalog: Catalog) -> None:
    client = make().test_client()
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    for header, status in ((f"Bearer {TOKEN}", 200), ("Bearer wrong", 401), (TOKEN, 401), ("Basic YTpi", 401),
                           ("Bearer", 401), (f"bearer {TOKEN}", 200), ("Bearer tök", 401)):  # fmt: skip
        answer = client.get("/api/v1/jobs", headers={"Authorization": header})
        assert answer.status_code == status, header
        if status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer" and answer.mimetype == "application/problem+json"
    assert client.get(f"/t/{TOKEN}/indices-list").get_json() == ["rebus"]
    assert client.get(f"/t/{TOKEN}/thumbs/{item}").status_code == 200
    for address in (
        "/t/wrong/indices-list",
        f"/t/{TOKEN}/api/v1/jobs",
        f"/t/{TOKEN}x/indices-list",
        "/t//indices-list",
    ):
        assert client.get(address, headers={"Accept": "application/json"}).status_code == 401, address
    assert client.get("/t/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404  # not once more to itself


def test_the_document_tells_generated_clients_of_the_token(make: Make, library: Config, catalog: Catalog) -> None:
    guarded = make().test_client().get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).get_json()
    assert guarded["security"] == [{"token": []}]
    assert guarded["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert "Problem" in guarded["components"]["schemas"]
    free = create_app(library, Searcher(library, catalog)).test_client().get("/openapi.json").get_json()
    assert "security" not in free and "securitySchemes" not in free["components"]


def test_the_cookie_of_the_login_page(make: Make) -> None:
    app = make()
    client = app.test_client()
    page = client.get("/?q=boat", headers={"Accept": "text/html"})
    assert page.status_code == 302 and page.headers["Location"] == "/login?next=/?q%3Dboat"
    assert _login(client, "wrong-token-entirely").status_code == 401
    answer = _login(client, next="/?q=boat")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?q=boat")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and TOKEN not in cookie
    assert client.get("/?q=boat").status_code == 200
    other = make(token="another-token-entirely").test_client()
    other.set_cookie("rebus", cookie.split("=", 1)[1].split(";")[0])
    assert other.get("/api/v1/jobs").status_code == 401
    secure = app.test_client()
    form = secure.get("/login", base_url="https://localhost")
    assert "Secure" in form.headers["Set-Cookie"]


@pytest.mark.parametrize("wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\r\nX: y"])
def test_the_login_leads_nowhere_else(make: Make, wanted: str) -> None:
    assert _login(make().test_client(), next=wanted).headers["Location"] == "/"


def test_wrong_tokens_are_counted(make: Make) -> None:
    client = make().test_client()
    tried = [client.get("/api/v1/jobs", headers={"Authorization": f"Bearer wrong{n}"}).status_code for n in range(12)]
    assert tried == [401] * 10 + [429] * 2
    elsewhere = client.get("/api/v1/jobs", headers={"Authorization": "Bearer wrong"}, environ_overrides=FAR)
    assert elsewhere.status_code == 401


def test_the_right_token_passes_whatever_was_tried_from_its_address(make: Make) -> None:
    client = make().test_client()
    for n in range(12):
        client.get("/api/v1/jobs", headers={"Authorization": f"Bearer wrong{n}"})
    assert client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/api/v1/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 429
    assert _login(client).status_code == 303


def _with_a_change(app: Flask) -> FlaskClient:
    """An address that changes something, as those to come."""
    app.add_url_rule("/change", "change", lambda: {"changed": True}, methods=["POST"])
    return app.test_client()


def test_a_change_needs_proof_that_our_page_asked_for_it(make: Make) -> None:
    client = _with_a_change(make())
    _login(client)
    assert client.post("/change").status_code == 403
    assert client.post("/change", json={}).status_code == 403
    assert client.post("/change", headers={"X-CSRF-Token": "wrong"}).status_code == 403
    form = client.get("/login")  # any form of ours
    found = re.search(r'name="csrf" value="([^"]+)"', form.text)
    assert found
    assert client.post("/change", headers={"X-CSRF-Token": found[1]}).status_code == 200
    assert client.post("/change", data={"csrf": found[1]}).status_code == 200
    foreign = {"X-CSRF-Token": found[1], "Origin": "https://evil.example"}
    assert client.post("/change", headers=foreign).status_code == 403
    assert client.post("/logout").status_code == 403
    program = _with_a_change(make()).post("/change", headers={"Authorization": f"Bearer {TOKEN}"})
    assert program.status_code == 200


def test_foreign_pages_change_nothing_on_this_machine_either(library: Config, catalog: Catalog) -> None:
    app = create_app(library, Searcher(library, catalog))
    _with_a_change(app)
    client = app.test_client(use_cookies=False)
    assert client.post("/change", json={}).status_code == 200  # curl
    assert client.post("/change", data={"a": "b"}).status_code == 403  # a form
    for sign in ({"Origin": "null"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
                 {"Referer": "http://evil.example/"}, {"Cookie": "a=b"}):  # fmt: skip
        assert client.post("/change", json={}, headers=sign).status_code == 403, sign
    search = client.post("/api/v1/search", json={"text": "a"}, headers={"Origin": "http://evil.example"})
    assert search.status_code == 403
    assert client.post("/api/v1/search", json={"text": "a"}, headers={"Origin": "http://localhost"}).status_code == 200


def test_every_address_that_takes_more_than_get_says_what_it_does(make: Make) -> None:
    from webui.operations import changes

    app = make()
    taking = {r.endpoint for r in app.url_map.iter_rules() if (r.methods or set()) - {"GET", "HEAD", "OPTIONS"}}
    pages, marks = {"library_pages.use_version", "pages.mark"}, {"marks_api.mark", "marks_api.forget"}
    changing = {"access.enter", "access.leave", *pages, *marks}
    assert {name for name in taking if changes(app.view_functions[name])} == changing


def test_read_only_refuses_changes_alone(make: Make) -> None:
    client = _with_a_change(make(read_only=True))
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert "read-only" in client.post("/change", headers=bearer).text
    assert client.post("/api/v1/search", json={"text": "a boat"}, headers=bearer).status_code == 200
    assert _login(client).status_code == 303


def test_requests_of_one_client_are_bounded(make: Make) -> None:
    client = make(requests_per_minute=5).test_client()
    bearer = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}

    def ask(address: str, client_address: str) -> int:
        return client.get(address, headers=bearer, environ_overrides={"REMOTE_ADDR": client_address}).status_code

    assert [ask("/api/v1/jobs", "203.0.113.9") for _ in range(7)] == [200] * 5 + [429] * 2
    assert ask("/api/v1/jobs", "::ffff:203.0.113.9") == 429 and ask("/api/v1/jobs", "203.0.113.10") == 200
    assert [ask("/api/v1/jobs", f"2001:db8::{n}") for n in range(7)] == [200] * 5 + [429] * 2
    assert ask("/api/v1/jobs", "2001:db8:0:1::1") == 200
    assert [ask("/api/v1/jobs", "127.0.0.1") for _ in range(7)] == [200] * 7
    with client.get("/static/rebus.css", environ_overrides=FAR) as picture:
        assert picture.status_code == 200 and picture.data
    answer = client.get("/api/v1/jobs", headers=bearer, environ_overrides=FAR)
    assert answer.headers["Retry-After"] and answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("photos.example:8765", 200), ("192.168.1.5:8765", 200), ("[fe80::1]", 200),
     ("evil.example", 400), ("photos.example.evil.example", 400), ("127.0.0.1.evil.example", 400), ("", 400)],
)  # fmt: skip
def test_a_server_for_all_answers_to_addresses_and_its_names(make: Make, host: str, status: int) -> None:
    assert make().test_client().get("/healthz", headers={"Host": host}).status_code == status


def test_when_a_token_is_asked_for(library: Config) -> None:
    def settings(**changes: Any) -> Config:
        return replace(library, serve=replace(library.serve, **changes))

    assert token_of(settings()) == "" and token_of(settings(token=TOKEN)) == TOKEN
    assert not beyond_loopback(settings(host="::1").serve)
    for changes in ({"host": "0.0.0.0"}, {"host": "192.168.1.5"}, {"names": ("photos.example",)}, {"host": ""}):
        assert beyond_loopback(settings(**changes).serve), changes
    with pytest.raises(ConfigError, match="16"):
        token_of(settings(token="short"))


def test_a_token_is_made_and_kept_where_only_its_owner_reads(changed: Config) -> None:
    told = replace(changed, serve=replace(changed.serve, host="0.0.0.0"))
    token = token_of(told)
    file = changed.home / "token"
    assert len(token) >= 32 and token_of(told) == token and file.read_text() == token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_places_stay_on_this_machine(make: Make, changed: Config) -> None:
    catalog = Catalog(changed)
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    with catalog.session() as session:
        session.execute(sa.delete(FactsRow))
        session.add(FactsRow(item_id=item, latitude=38.7, longitude=-9.1, place="Lisbon", camera="Leica"))
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    def ask(app: Flask, address: str) -> Any:
        return app.test_client().get(address, headers={**bearer, "Accept": "application/json"})

    near = create_app(changed, Searcher(changed, catalog))
    assert ask(near, f"/api/v1/items/{item}").get_json()["facts"]["place"] == "Lisbon"
    hidden, shown = make(changed), make(changed, show_places=True)
    facts = ask(hidden, f"/api/v1/items/{item}").get_json()["facts"]
    assert (facts["place"], facts["latitude"], facts["longitude"], facts["camera"]) == (None, None, None, "Leica")
    assert "Lisbon" not in ask(hidden, f"/items/{item}").text and "Lisbon" in ask(shown, f"/items/{item}").text
    for address in ("/api/v1/search?q=a&place=lisbon", "/api/v1/search?q=a&near=38.7,-9.1,5", "/?q=place:lisbon",
                    "/?q=a+near:38.7,-9.1,5", "/api/v1/facets?place=lisbon", "/api/v1/items?near=38.7,-9.1,5",
                    f"/api/v1/items/{item}/similar?place=lisbon"):  # fmt: skip
        assert ask(hidden, address).status_code == 400 and ask(shown, address).status_code == 200, address
    catalog.engine.dispose()
