"""Films, pages, sounds and documents on the page, in the endpoint and on the command line."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image

import rebus
from engine.catalog import Catalog, Item
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality
from engine.words import clock, duration, place_in, readable_bytes
from tests.web_library import Kinds, add_kinds, copy_library, fetch
from webui import create_app


@pytest.fixture(scope="module")
def copied(library: Config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Kinds]:
    config = copy_library(library, tmp_path_factory.mktemp("kinds"))
    return config, add_kinds(config)


@pytest.fixture
def kinds(copied: tuple[Config, Kinds]) -> Kinds:
    return copied[1]


@pytest.fixture(scope="module")
def client(copied: tuple[Config, Kinds]) -> Iterator[FlaskClient]:
    catalog = Catalog(copied[0])
    yield create_app(copied[0], Searcher(copied[0], catalog)).test_client()
    catalog.engine.dispose()


def _links(html: str) -> list[str]:
    return re.findall(r'<a [^>]*?href="(/items/[^"]+)"[^>]* data-item', html)


def test_films_are_found_by_their_moments(client: FlaskClient, kinds: Kinds) -> None:
    hits = client.get("/api/v1/search?q=a+boat&modality=video").get_json()["hits"]
    places = {hit["id"]: (hit["position"], hit["place"]) for hit in hits}
    assert places == {kinds.film: (0, "0:00"), kinds.moment: (83_000, "1:23")}
    for html in (client.get("/?q=a+boat&for=video").text, client.get("/?q=a+boat+type:film").text):
        assert '<span class="place">1:23</span>' in html and f"/items/{kinds.moment}" in html
        assert 'value="video" checked' in html
    assert 'value="video"' in client.get("/").text and 'value="audio"' not in client.get("/").text


def test_a_film_plays_from_its_moment(client: FlaskClient, kinds: Kinds) -> None:
    html = client.get(f"/items/{kinds.moment}").text
    assert (
        f'<video controls preload="metadata" src="/media/{kinds.film}#t=83" poster="/thumbs/{kinds.moment}?v=' in html
    )
    assert "1:23" in html and "a film of the harbour" in html
    assert "Moments" in html and f'href="/items/{kinds.film}" data-item' in html
    assert f"/?like={kinds.moment}&amp;for=video" in html
    part = fetch(client, f"/media/{kinds.film}", Range="bytes=5-14")
    assert part.status_code == 206 and len(part.data) == 10 and part.mimetype == "video/webm"
    assert "media-src 'self'" in part.headers["Content-Security-Policy"]


def test_a_page_is_shown_with_its_own_words_and_its_number(client: FlaskClient, kinds: Kinds) -> None:
    html = client.get(f"/items/{kinds.page}").text
    assert "p. 4" in html and f'href="/media/{kinds.pdf}" title="Save the original"' in html
    assert f'<img src="/thumbs/{kinds.page}?v=' in html and "Pages" in html
    assert re.findall(r'title="Search for these words">([^<]+)<', html) == ["What the fourth page says."]
    hits = client.get(f"/api/v1/search?item={kinds.page}").get_json()["hits"]
    assert {"p. 1", "p. 4"} <= {hit["place"] for hit in hits if hit["path"] == "paper.pdf"}
    item = client.get(f"/api/v1/items/{kinds.page}").get_json()
    assert (item["position"], item["place"], item["bytes"]) == (3, "p. 4", len("the bytes of paper.pdf"))


def test_each_moment_has_its_own_thumbnail(client: FlaskClient, kinds: Kinds) -> None:
    first, second = (client.get(f"/thumbs/{item}") for item in (kinds.film, kinds.moment))
    assert first.data != second.data and first.headers["ETag"] != second.headers["ETag"]
    address = re.search(rf'/thumbs/{kinds.moment}\?v=[^"]+', client.get(f"/items/{kinds.moment}").text)
    assert address and address[0].endswith("-83000")
    assert "immutable" in client.get(address[0]).headers["Cache-Control"]
    with Image.open(io.BytesIO(client.get(address[0]).data)) as small:
        assert small.size == (64, 48)


def test_a_sound_plays_and_its_words_lead_to_it(client: FlaskClient, kinds: Kinds) -> None:
    html = client.get(f"/items/{kinds.sound}").text
    assert f'<audio controls preload="metadata" src="/media/{kinds.sound}"' in html and "a song of the sea" in html
    assert f'<img src="/thumbs/{kinds.sound}' not in html and "Similar pictures</a>" not in html
    hits = client.get("/api/v1/search?q=sea&modality=text&limit=1000").get_json()["hits"]
    [hit] = [hit for hit in hits if hit["path"] == "song.mp3"]
    assert (hit["item"], hit["thumbnail"]) == (kinds.sound, None)
    assert client.get("/api/v1/search?q=sea&modality=audio").get_json()["hits"] == []
    assert fetch(client, f"/thumbs/{kinds.sound}").status_code == 404


def test_sounds_films_and_documents_can_be_looked_through(client: FlaskClient, kinds: Kinds) -> None:
    for kind, item in (("audio", kinds.sound), ("video", kinds.film), ("text", kinds.document)):
        links = _links(client.get(f"/?for={kind}").text)
        assert [link.partition("#")[0] for link in links] == [f"/items/{item}"], kind
    assert _links(client.get("/?q=type:sound").text) == [f"/items/{kinds.sound}"]
    assert f"/items/{kinds.page}" not in client.get("/").text and f"/items/{kinds.pdf}" in client.get("/").text
    assert "No encoder takes sounds yet" in client.get("/?q=sea&for=audio").text


def test_a_document_shows_its_words(client: FlaskClient, kinds: Kinds) -> None:
    for item in (kinds.document, kinds.passage):
        html = client.get(f"/items/{item}").text
        assert "The first words of the notes." in html and "Further words, about a harbour." in html
        assert re.findall(r'<p id="w(\d+)"[^>]* aria-current', html) == [str(item)]
        assert f'href="/media/{kinds.document}"' in html and "/thumbs/None" not in html
    html = client.get("/?q=harbour&for=text&offset=0").text + client.get("/?q=harbour&for=text&offset=24").text
    html += client.get("/?q=harbour&for=text&offset=48").text + client.get("/?q=harbour&for=text&offset=72").text
    assert f'href="/items/{kinds.passage}#w{kinds.passage}"' in html and "/items/None" not in html
    liked = client.get(f"/?like={kinds.document}").text
    assert "The first words of the notes." in liked.partition('class="chip')[2].partition("</span>")[0]
    assert len(_links(liked)) == 24


def test_what_is_not_read_yet_is_not_listed(copied: tuple[Config, Kinds], client: FlaskClient) -> None:
    catalog = client.application.extensions["rebus"].catalog
    with catalog.session() as session:
        item = Item(root_id=1, modality="image", path="new.jpg", size=1, mtime_ns=1)
        session.add(item)
    assert f"/items/{item.id}" not in client.get("/").text
    assert "cannot be shown" not in client.get("/").text and client.get(f"/items/{item.id}").status_code == 200
    with catalog.session() as session:
        session.delete(session.get_one(Item, item.id))


def test_the_command_line_says_where_in_a_file(
    copied: tuple[Config, Kinds], capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(copied[0].home)]
    rebus.main([*home, "search", "a boat", "--for", "video"])
    assert "film.webm @ 1:23" in capsys.readouterr().out
    rebus.main([*home, "search", "a boat", "--top", "100"])
    assert "paper.pdf p. 4" in capsys.readouterr().out
    rebus.main([*home, "search", "a boat", "--for", "video", "--json"])
    assert sorted(hit["position"] for hit in json.loads(capsys.readouterr().out)["hits"]) == [0, 83_000]
    rebus.main([*home, "search", "a boat", "--for", "video", "-f"])
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == ["film.webm"]


@pytest.mark.parametrize(
    ("path", "position", "modality", "said"),
    [("a.mp4", 83_500, "video", "1:23"), ("a.mp4", 0, "video", "0:00"), ("a.mp4", None, "video", None),
     ("a.PDF", 0, "image", "p. 1"), ("a.pdf", 11, "image", "p. 12"), ("a.tif", 0, "image", None),
     ("a.tif", 2, "image", "p. 3"), ("a.gif", 2, "image", "frame 3"), ("a.jpg", 0, "image", None),
     ("a.pdf", 1, "text", "p. 2"), ("a.md", 7, "text", None)],
)  # fmt: skip
def test_places_are_said_as_people_say_them(path: str, position: int | None, modality: str, said: str | None) -> None:
    assert place_in(path, position, Modality(modality)) == said


def test_times_and_sizes() -> None:
    assert [duration(s) for s in (0, 59.4, 59.6, 170, 3599, 7500)] == ["0 s", "59 s", "1 min", "3 min", "1 h 0 min",
                                                                       "2 h 5 min"]  # fmt: skip
    assert [clock(ms) for ms in (999, 60_000, 3_723_000)] == ["0:00", "1:00", "1:02:03"]
    sizes = {0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 25_000_000: "25 MB"}
    assert {size: readable_bytes(size) for size in sizes} == sizes
