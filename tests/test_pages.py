"""The pages as a browser without JavaScript gets them: real templates over a real library."""

import io
import json
import re
import shlex
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from PIL import Image

from engine.catalog import Catalog, FactsRow, Failure, Job, Root
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Where
from tests.web_library import fetch
from webui import create_app

STATIC = Path(__file__).parent.parent / "webui" / "static"


@pytest.fixture(scope="module")
def boat(catalog: Catalog) -> int:
    return catalog.ids_matching(Where("boats/**"), Modality.IMAGE)[0]


def _items(html: str) -> list[int]:
    """The pictures linked from the tiles, in order."""
    return [int(item) for item in re.findall(r'<a href="/items/\d+" data-item="(\d+)"', html)]


def test_the_start_shows_the_newest_pictures(client: FlaskClient, catalog: Catalog) -> None:
    response = client.get("/")
    newest = sorted(catalog.ids_matching(Where(), Modality.IMAGE), reverse=True)
    assert _items(response.text) == newest[:24]
    assert "40 pictures, 80 captions" in response.text
    assert _items(client.get("/?offset=24").text) == newest[24:]
    trees = [item for item in newest if catalog.item(item).item.path.startswith("trees/")]
    assert _items(client.get("/?path=trees/**").text) == trees and 0 < len(trees) < 40
    narrowed = client.get("/", query_string={"q": "path:trees/**"}).text
    assert f"{len(trees)} pictures, {2 * len(trees)} captions" in narrowed


def test_words_find_pictures_and_the_next_page_follows(client: FlaskClient) -> None:
    response = client.get("/", query_string={"q": "a red boat"})
    first = _items(response.text)
    hits = client.get("/api/v1/search?q=a+red+boat").get_json()["hits"]
    assert first == [hit["id"] for hit in hits]
    assert 'value="a red boat"' in response.text
    more = re.search(r'id="more" rel="next" href="([^"]+)"', response.text)
    assert more is not None
    following = _items(client.get(more[1].replace("&amp;", "&")).text)
    assert len(following) == 16 and not set(first) & set(following)


def test_words_find_words(client: FlaskClient) -> None:
    html = client.get("/?q=a+red+boat&for=text").text
    assert html.count('<ol class="lines') == 1 and html.count('class="small"') == 24
    assert client.get("/?q=a+red+boat+type:text").text.count('class="small"') == 24


def test_the_box_understands_filters(client: FlaskClient, catalog: Catalog, boat: int) -> None:
    for address in ({"q": "red path:trees/**"}, {"q": "red", "path": "trees/**"}):
        found = _items(client.get("/", query_string=address).text)
        assert len(found) == 20
        assert all(catalog.item(item).item.path.startswith("trees/") for item in found)
    alike = _items(client.get(f"/?q=like:{boat}").text)
    assert alike and boat not in alike  # who names an example looks for others
    assert boat not in _items(client.get(f"/?like={boat}").text)
    assert _items(client.get("/?q=red").text) != _items(client.get("/?q=red+-boat+-tree").text)


@pytest.mark.parametrize(
    "query",
    ["q=path:", "q=like:abc", "like=abc", "like=-1", "q=type:smell", "for=smell", "offset=x", "offset=-1",
     "q=a&offset=999999", "q=path:a&path=b", "q=" + "x" * 2001, "like=" + "9" * 30],
)  # fmt: skip
def test_what_cannot_be_asked_gets_a_message(client: FlaskClient, query: str) -> None:
    response = client.get(f"/?{query}")
    assert response.status_code == 400
    assert 'role="alert"' in response.text and 'id="q"' in response.text


def test_an_unknown_item_to_compare_with(client: FlaskClient) -> None:
    response = client.get("/?like=999999")
    assert response.status_code == 404
    assert "999999" in response.text and 'id="q"' in response.text


def test_an_uploaded_picture_shows_its_words_and_pictures_like_it(
    client: FlaskClient, catalog: Catalog, boat: int
) -> None:
    data = catalog.item(boat).file.read_bytes()
    response = client.post("/", data={"picture": (io.BytesIO(data), "boat.jpg")})
    assert response.status_code == 200
    html = response.text
    assert 'src="data:image/jpeg;base64,' in html
    assert html.index("Its words") < html.index("Similar pictures")
    assert html.count('class="small"') == 8
    assert boat in _items(html[html.index("Similar pictures") :])[:5]


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_an_upload_that_is_no_picture(client: FlaskClient, data: bytes) -> None:
    response = client.post("/", data={"picture": (io.BytesIO(data), "a.png")})
    assert response.status_code == 400 and 'role="alert"' in response.text
    assert client.post("/").status_code == 400


def test_an_item_page(client: FlaskClient, catalog: Catalog, boat: int) -> None:
    view, captions = catalog.item(boat), catalog.captions_of(boat)
    html = client.get(f"/items/{boat}").text
    for caption in captions:
        assert caption.text in html
    assert Path(view.item.path).name in html and "96 × 72" in html
    assert f'src="/media/{boat}"' in html and f"/?like={boat}&amp;for=text" in html
    assert len(_items(html)) == 12 and boat not in _items(html)
    assert client.get(f"/items/{captions[0].id}").text == html


def test_a_caption_link_searches_for_exactly_its_words(changed: Config) -> None:
    catalog = Catalog(changed)
    [item, *_] = catalog.ids_matching(Where(), Modality.IMAGE)
    with catalog.session() as session:
        [caption, *_] = catalog.captions_of(item)
        session.merge(caption).text = 'a -5 degree "day" path:x'
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    links = re.findall(r'href="(/\?q=[^"]+)" lang=', client.get(f"/items/{item}").text)
    assert parse_qs(urlsplit(unescape(links[0])).query)["q"] == ["\"a -5 degree 'day' path:x\""]
    assert client.get(unescape(links[0])).status_code == 200
    catalog.engine.dispose()


def test_originals(client: FlaskClient, catalog: Catalog, boat: int) -> None:
    response = fetch(client, f"/media/{boat}")
    assert response.status_code == 200 and response.mimetype == "image/jpeg"
    assert response.data == catalog.item(boat).file.read_bytes()
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Disposition"].startswith("inline")
    again = fetch(client, f"/media/{boat}", If_None_Match=response.headers["ETag"])
    assert again.status_code == 304 and not again.data
    part = fetch(client, f"/media/{boat}", Range="bytes=0-9")
    assert part.status_code == 206 and part.data == response.data[:10]
    [caption, *_] = catalog.captions_of(boat)
    assert fetch(client, f"/media/{caption.id}").data == response.data


def test_thumbnails(client: FlaskClient, catalog: Catalog, boat: int) -> None:
    content = catalog.item(boat).item.content_hash or ""
    response = client.get(f"/thumbs/{boat}?v={content[:8]}")
    assert response.status_code == 200 and response.mimetype == "image/jpeg"
    assert max(Image.open(io.BytesIO(response.data)).size) <= 384
    assert "immutable" in response.headers["Cache-Control"] and "max-age=31536000" in response.headers["Cache-Control"]
    tag = response.headers["ETag"]
    assert content in tag and client.get(f"/thumbs/{boat}", headers={"If-None-Match": tag}).status_code == 304
    for old in ("", "?v=00000000"):
        assert client.get(f"/thumbs/{boat}{old}").headers["Cache-Control"] == "private, no-cache"
    [caption, *_] = catalog.captions_of(boat)
    assert client.get(f"/thumbs/{caption.id}").data == response.data


def test_what_browsers_cannot_draw_is_drawn_large(changed: Config) -> None:
    catalog = Catalog(changed)
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    file = catalog.item(item).file
    Image.effect_noise((2400, 1500), 20).convert("RGB").save(file.with_suffix(".tif"))
    facts = file.with_suffix(".tif").stat()
    with catalog.session() as session:
        change = "UPDATE items SET path = replace(path, '.jpg', '.tif'), mtime_ns = ?, size = ? WHERE id = ?"
        session.connection().exec_driver_sql(change, (facts.st_mtime_ns, facts.st_size, item))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    address = re.findall(rf'src="(/large/{item}\?v=[^"]+)"', client.get(f"/items/{item}").text)[0]
    answer = client.get(address)
    image = Image.open(io.BytesIO(answer.data))
    assert image.format == "JPEG" and image.size == (1800, 1125) and "immutable" in answer.headers["Cache-Control"]
    assert client.get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    file.with_suffix(".tif").unlink()
    assert Image.open(io.BytesIO(client.get(address).data)).size[0] <= 384
    catalog.engine.dispose()


def test_every_picture_on_the_pages_may_be_kept(client: FlaskClient, boat: int) -> None:
    for address in ("/", "/?q=a+red+boat", "/?q=tree&for=text", f"/items/{boat}", f"/?like={boat}"):
        pictures = re.findall(r'src="(/thumbs/[^"]+)"', client.get(address).text)
        assert len(pictures) >= 12, address
        for picture in pictures[:3]:
            assert "immutable" in client.get(picture).headers["Cache-Control"], picture


def test_the_library_page(changed: Config) -> None:
    catalog = Catalog(changed)
    with catalog.session() as session:
        root = session.query(Root).one()
        for number in range(60):
            name = f"boats/bad-{number:02d}.jpg"
            reason = f"cannot read {root.path}/x"
            session.add(Failure(root_id=root.id, path=name, stage="decode", reason=reason, hint="copy it again"))
        session.add(Job(kind="index", state="failed", pid=1, message=f"under {root.path} and {changed.home}"))
        place = root.path
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    first, second = client.get("/status").text, client.get("/status?offset=50").text
    assert "boats/bad-00.jpg" in first and "copy it again" in first and "boats/bad-55.jpg" not in first
    assert "boats/bad-55.jpg" in second and "boats/bad-00.jpg" not in second
    assert place not in first + second and str(changed.home) not in first + second
    assert client.get("/status?offset=-1").status_code == 400
    catalog.engine.dispose()


def test_before_anything_is_indexed(empty: FlaskClient) -> None:
    for address in ("/", "/?q=boat"):
        response = empty.get(address)
        assert response.status_code == 503
        assert "rebus index" in response.text and "rebus train --encoder" in response.text
    assert empty.post("/", data={"picture": (io.BytesIO(b"x"), "a.png")}).status_code == 503
    assert empty.get("/status").status_code == 200


def test_an_encoder_that_is_gone_is_not_a_first_run(changed: Config) -> None:
    app = create_app(changed)
    catalog = app.extensions["rebus"].catalog
    with catalog.session() as session:
        session.connection().exec_driver_sql("UPDATE encoders SET spec = '/nowhere/at/all'")
    response = app.test_client().get("/?q=boat")
    assert response.status_code == 503
    assert "encoder" in response.text and "Nothing to search yet" not in response.text
    assert "/nowhere" not in response.text
    assert app.test_client().get("/").status_code == 200
    catalog.engine.dispose()


def test_errors_are_pages_for_people_and_problems_for_programs(client: FlaskClient) -> None:
    page = client.get("/nothing", headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 404 and page.mimetype == "text/html" and "<h1>" in page.text
    program = client.get("/items/99999", headers={"Accept": "application/json"})
    assert program.status_code == 404 and program.mimetype == "application/problem+json"
    assert client.put("/").status_code == 405


def test_every_shape_of_a_tile_has_its_class() -> None:
    from webui.pages import _SHAPES

    styles = (STATIC / "rebus.css").read_text()
    assert all(shape == 100 or f".r{shape} " in styles for shape in _SHAPES)


def test_several_items_weighted_and_without_a_script(client: FlaskClient, catalog: Catalog) -> None:
    first, second, third, *_ = catalog.ids_matching(Where(), Modality.IMAGE)
    html = client.get(f"/?q=red&like={first}&like=2:{second}&unlike={third}").text
    asked = {
        "terms": [{"item": first}, {"item": second, "weight": 2}, {"item": third, "weight": -0.5}, {"text": "red"}]
    }
    hits = client.post("/api/v1/search", json=asked).get_json()["hits"]
    assert _items(html) == [hit["id"] for hit in hits if hit["id"] not in (first, second)]
    links = [unescape(link) for link in re.findall(r'data-keep href="([^"]+)"', html)]
    assert f"/?q=red&like=2:{second}&unlike={third}" in links, "without the first"
    assert f"/?q=red&like={first}&like=0.5:{second}&unlike={third}" in links, "less of the second"
    assert f"/?q=red&like={first}&like=2:{second}&like={third}" in links, "the third turned round"
    for name, value in (("like", first), ("like", f"2:{second}"), ("unlike", third)):
        assert f'<input type="hidden" name="{name}" value="{value}">' in html
    assert client.get(f"/?like={first}@0,0,50,50").status_code == 200


@pytest.mark.parametrize(
    "query",
    ["like=1@0,0,0,5", "like=1@50,0,60,5", "like=9999:1", "unlike=x", "cursor=x",
     "like=1" + "".join(f"&like={n}" for n in range(2, 40))],
)  # fmt: skip
def test_chips_that_cannot_be(client: FlaskClient, query: str) -> None:
    response = client.get(f"/?{query}")
    assert response.status_code == 400 and 'role="alert"' in response.text


@pytest.mark.parametrize("name", ["q", "path"])
def test_what_is_too_long_is_refused_by_a_short_page(client: FlaskClient, name: str) -> None:
    response = client.get(f"/?for=text&{name}=" + "tree+" * 40_000)
    assert response.status_code == 400 and "199,999 characters, the limit is 2,000: shorten it" in response.text
    assert len(response.text) < 20_000


@pytest.mark.parametrize("address", ["/?", "/?q=red", "/?q=red&for=text"])
def test_several_pages_come_as_one(client: FlaskClient, address: str) -> None:
    def more(html: str) -> str:
        (following,) = re.findall(r'rel="next" href="([^"]+)"', html)
        return unescape(str(following))

    first = client.get(address).text
    second = client.get(more(first)).text
    assert _items(client.get(f"{address}&pages=2").text) == _items(first) + _items(second)
    for wrong in ("0", "21", "x", "-1"):
        response = client.get(f"{address}&pages={wrong}")
        assert response.status_code == 400 and "a number from 1 to 20" in response.text


def test_a_search_that_cannot_go_on_leads_to_its_start(client: FlaskClient) -> None:
    html = unescape(client.get("/?q=red+path:boats/**&for=text&like=3&cursor=x").text)
    assert 'data-keep href="/?q=red+path:boats/**&for=text&like=3">Search again from the start' in html


def test_several_own_pictures_with_words_and_weights(client: FlaskClient, catalog: Catalog, boat: int) -> None:
    data = catalog.item(boat).file.read_bytes()
    pictures = [(io.BytesIO(data), "a.jpg") for _ in range(2)]
    html = client.post("/", data={"picture": pictures, "weight": ["2", "-0.5"], "q": "red", "like": str(boat)}).text
    assert (
        html.count('src="data:image/jpeg;base64,') == 2 and 'data-weight="more"' in html and 'data-weight="not"' in html
    )
    assert 'id="more" type="button" data-next="' in html and 'value="red"' in html
    five = {"picture": [(io.BytesIO(data), "a.jpg") for _ in range(5)]}
    for wrong in (five, {"picture": (io.BytesIO(data), "a.jpg"), "weight": "much"}):
        assert client.post("/", data=wrong).status_code == 400


def test_what_is_selected_becomes_a_search(client: FlaskClient) -> None:
    alone = client.get("/picked?like=3&like=4&was=q%3Dred%26like%3D2:5")
    beside = client.get("/picked?like=3&like=4&was=q%3Dred%26like%3D2:5&add=1")
    assert [answer.status_code for answer in (alone, beside)] == [302, 302]
    assert alone.headers["Location"] == "/?like=3&like=4"
    assert beside.headers["Location"] == "/?q=red&like=2:5&like=3&like=4"
    assert client.get("/picked?like=x").status_code == 400
    assert client.get("/picked?was=//evil.example").headers["Location"] == "/"


def test_facets_count_and_lead_to_filters_in_the_box(client: FlaskClient) -> None:
    html = unescape(client.get("/facets?q=red+path:boats/**").text)
    links = re.findall(r'<a data-keep href="([^"]+)"( aria-current="true")?>([^<]+) <small>([\d,]+)</small>', html)
    said = {label: (count, address, bool(chosen)) for address, chosen, label, count in links}
    assert said["boats"] == ("20", "/?q=red", True), "chosen: the way back"
    assert said["trees"] == ("20", "/?q=red+path:trees/**", False)
    assert said["Pictures"][0] == "20" and said["Words"][:2] == ("40", "/?q=red+path:boats/**&for=text")
    row = client.get("/?q=red+path:boats/**").text
    assert "Folder: boats/**" in row and "Camera" not in row and "Year" not in row
    assert client.get("/facets?q=path:").status_code == 400


def test_facets_of_years_and_cameras(changed: Config) -> None:
    catalog = Catalog(changed)
    first, second, *_ = catalog.ids_matching(Where(), Modality.IMAGE)
    with catalog.session() as session:
        session.merge(FactsRow(item_id=first, camera="Leica M6", taken_at=1_600_000_000.0))
        session.merge(FactsRow(item_id=second, camera="Box", taken_at=1_000_000_000.0))
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    html = unescape(client.get("/facets?q=taken:2020").text)
    assert '"/?q=taken:2020+camera:%22Leica+M6%22"' in html
    assert "/?q=taken:2001" in html and "camera:Box" not in html
    catalog.engine.dispose()


def test_scores_are_shown_where_hits_are_in_their_order(client: FlaskClient) -> None:
    cosine = re.compile(r"<i[^>]*>-?\d\.\d{3}</i>")
    for address, shown in (
        ("q=red&for=text&mode=vector", True),
        ("q=red&for=text&mode=hybrid", False),
        ("q=red&mode=hybrid&explain=1", True),
    ):
        assert bool(cosine.search(client.get(f"/?{address}").text)) is shown, address


def test_filters_that_nothing_passes_say_so_and_lead_back(client: FlaskClient) -> None:
    text = client.get("/?q=path:nowhere/**").text
    assert "No pictures pass these filters" in text and "Type what you remember" not in text
    back = re.findall(r'<a href="([^"]+)">Show all</a>', text)
    assert back == ["/"] and _items(client.get(back[0]).text)


def test_the_search_as_a_call_and_as_a_command(client: FlaskClient, catalog: Catalog, boat: int) -> None:
    html = unescape(client.get(f"/?q=it's+red+-tree+path:boats/**&like=2:{boat}").text)
    curl = re.findall(r'id="as-curl"[^>]*>(.*?)</pre>', html, re.DOTALL)[0]
    command = re.findall(r'id="as-command"[^>]*>(.*?)</pre>', html, re.DOTALL)[0]
    words = shlex.split(curl)
    assert words[:3] == ["curl", "-s", "http://localhost/api/v1/search"]
    answer = client.post("/api/v1/search", json=json.loads(words[-1])).get_json()
    assert [hit["id"] for hit in answer["hits"] if hit["id"] != boat] == _items(html)
    from rebus import parse_terms

    words = shlex.split(command)
    assert words[:4] == ["rebus", "search", "--path", "boats/**"] and words[6] == "--"
    terms = [(term.text, term.item, term.weight) for term in parse_terms(words[7:], Config(home=Path()))]
    assert terms == [(None, boat, 2.0), ("it's red", None, 1.0), ("tree", None, -0.5)]


@pytest.mark.parametrize("words", ["--json", "2:boat", "nan:boat", "at 12:30", "-", "--top"])
def test_words_stay_words_in_the_command(client: FlaskClient, words: str) -> None:
    from rebus import parse_terms, search

    html = unescape(client.get("/", query_string={"q": f'"{words}"'}).text)
    command = shlex.split(re.findall(r'id="as-command"[^>]*>(.*?)</pre>', html, re.DOTALL)[0])
    asked = search.make_context("search", command[2:]).params
    assert asked["top"] == 24 and not asked["json_"]
    assert [(term.text, term.weight) for term in parse_terms(asked["terms"], Config(home=Path()))] == [(words, 1.0)]
