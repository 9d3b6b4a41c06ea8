"""What a search page keeps of how it was asked: mode, items in the box, weights, and what was selected."""

import base64
import io
import json
import re
import shlex
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from PIL import Image

from engine.catalog import Catalog
from engine.config import Config
from engine.search import Searcher
from webui import create_app
from webui.chips import MAX_LIKES, weight_name


def read(client: FlaskClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return unescape(answer.text)


def links(html: str) -> list[str]:
    return re.findall(r'(?:href|data-facets)="(/[^"]*)"', html)


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_mode_answers_and_stays_in_every_address(client: FlaskClient, mode: str) -> None:
    html = read(client, f"/?q=a+red+boat&mode={mode}")
    body = {"text": "a red boat", "mode": mode}
    hits = client.post("/api/v1/search", json=body).get_json()["hits"]
    assert re.findall(r'data-item="(\d+)"', html) == [str(hit["item"]) for hit in hits]
    following = re.findall(r'id="more" rel="next" href="([^"]+)"', html)
    assert all(f"mode={mode}" in link for link in following) and following
    for link in following:
        assert not set(re.findall(r'data-item="(\d+)"', read(client, link))) & {str(hit["item"]) for hit in hits}
    why = next(link for link in links(html) if "explain=1" in link)
    facets = next(link for link in links(html) if link.startswith("/facets"))
    assert f"mode={mode}" in why and f"mode={mode}" in facets
    assert f"mode {mode}" in read(client, why)
    chosen = [link for link in links(read(client, facets)) if link.startswith("/?") and "path:boats" in link]
    assert chosen and all(f"mode={mode}" in link for link in chosen)
    assert f'name="mode" value="{mode}"' in html, "the next words are asked alike"
    assert parse_qs(re.findall(r'name="was" value="([^"]+)"', html)[0])["mode"] == [mode], "and so are marks"


def test_a_mode_can_be_chosen_and_copied(client: FlaskClient) -> None:
    html = read(client, "/?q=a+red+boat+path:boats/**")
    panel = html[html.index("modes") :]
    offered = re.findall(r'href="(/\?[^"]+)"[^>]*>[a-z ]+ <small>(\w+)</small>', panel)
    assert [mode for _, mode in offered] == ["hybrid", "vector", "text"]
    assert ["mode" in address for address, _ in offered] == [True, False, True], "the settings' own needs no word"
    assert all("path:boats" in address for address, _ in offered)
    html = read(client, offered[2][0])
    command = re.findall(r'<pre id="as-command"[^>]*>(.*?)</pre>', html)[0]
    curl = re.findall(r'<pre id="as-curl"[^>]*>(.*?)</pre>', html)[0]
    words = shlex.split(command)
    assert words[words.index("--mode") + 1] == "text"
    assert json.loads(shlex.split(curl)[-1])["mode"] == "text"
    assert client.get("/?q=a&mode=x").status_code == 400


def test_text_that_finds_nothing_can_be_asked_otherwise(client: FlaskClient) -> None:
    html = read(client, "/?q=zebra&mode=text")
    assert "Nothing found" in html and 'href="/?q=zebra"' in html


def test_items_are_asked_by_vectors_whatever_mode_words_have(client: FlaskClient) -> None:
    html = read(client, "/?q=red&like=3&mode=text")
    assert 'class="facet modes"' not in html and "--mode" not in html
    assert 'name="mode" value="text"' in html, "kept for words alone"


def test_items_in_the_box_are_weighted_and_may_be_parts(client: FlaskClient) -> None:
    html = read(client, "/?q=tree+like:2:3+-like:5@0,0,50,100")
    terms = [{"text": "tree"}, {"item": 3, "weight": 2}, {"item": 5, "region": [0, 0, 0.5, 1], "weight": -0.5}]
    hits = client.post("/api/v1/search", json={"terms": terms}).get_json()["hits"]
    others = [str(hit["item"]) for hit in hits if hit["item"] != 3]  # which is in the box, and not shown again
    assert re.findall(r'data-item="(\d+)"', html) == others
    assert "2:like:3" in html and "0.5:like:5@0,0,50,100" in html
    assert client.get("/?q=" + "like:1+" * 40).status_code == 400
    assert client.get("/?q=like:99999").status_code == 404


def test_how_deep_a_search_looked_is_told_where_it_is_explained(client: FlaskClient) -> None:
    asked = {"text": "a red boat", "mode": "vector", "explain": True}
    depths = client.post("/api/v1/search", json=asked).get_json()["depths"]
    assert depths == {"exact": 40}, "as few are compared whole"
    assert client.post("/api/v1/search", json={**asked, "explain": False}).get_json()["depths"] is None
    assert client.get("/api/v1/items/3/similar?explain=true&exact=true").get_json()["depths"] == {"exact": 40}
    batch = client.post("/api/v1/search/batch", json={"searches": [asked]}).get_json()
    assert batch["answers"][0]["depths"] == depths
    told = client.get("/openapi.json").get_json()["components"]["schemas"]["SearchResponse"]["properties"]["depths"]
    assert {"type": "null"} in told["anyOf"] and told["anyOf"][0]["type"] == "object"


def test_more_than_a_search_takes_are_cut_with_a_line(client: FlaskClient) -> None:
    likes = "&".join(f"like={n}" for n in range(1, 22))
    answer = client.get(f"/picked?{likes}&was=")
    assert len(parse_qs(urlsplit(answer.headers["Location"]).query)["like"]) == MAX_LIKES
    assert "21 were selected. A search takes 16 items: these are the first." in read(client, answer.headers["Location"])
    assert "were selected" not in read(client, answer.headers["Location"]), "said once"
    beside = client.get("/picked?add=1&was=q%3Dred%26like%3D30&" + likes).headers["Location"]
    assert parse_qs(urlsplit(beside).query)["like"][0] == "30" and "q=red" in beside
    read(client, beside)


@pytest.mark.parametrize(
    ("weight", "name"),
    [(2, "more"), (1, "normal"), (0.5, "less"), (-0.5, "not"), (3, "3 times"), (0.25, "0.25 times"), (-1, "−1 times"),
     (1000, "1,000 times"), (123.4567, "123.457 times"), (1e-300, "0 times"), (100, "100 times")],
)  # fmt: skip
def test_weights_in_words(weight: float, name: str) -> None:
    assert weight_name(weight) == name


def test_negative_weights_stay_what_they_are(client: FlaskClient) -> None:
    html = read(client, "/?q=tree&unlike=2:3&unlike=4&like=-1000:5")
    assert "/?q=tree&explain=1&like=-1000:5&like=-1:3&unlike=4" in links(html)
    read(client, "/?q=tree&like=-1000:5&like=-1:3&unlike=4")


def test_results_of_words_can_be_selected_by_what_was_found(client: FlaskClient) -> None:
    hits = client.post("/api/v1/search", json={"text": "a red boat", "modality": "text"}).get_json()["hits"]
    found = [str(hit["id"]) for hit in hits]
    for address in ("/?q=a+red+boat&for=text", "/?q=a+red+boat&for=text&explain=1"):
        html = read(client, address)
        assert re.findall(r'class="pick" type="checkbox" name="like" value="(\d+)"', html) == found
        assert re.findall(r'data-found="(\d+)"', html) == found
    assert 'class="pick"' in read(client, "/?q=a+red+boat&explain=1")
    assert client.get(f"/?like={found[0]}").status_code == 200, "more like a caption"


def test_results_of_an_own_picture_are_marked_when_it_travels_along(changed: Config) -> None:
    catalog = Catalog(changed)
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    image = io.BytesIO()
    Image.new("RGB", (64, 48), (120, 30, 60)).save(image, "PNG")
    asked = {"terms": [{"image": base64.b64encode(image.getvalue()).decode(), "weight": 2.0}, {"text": "tree"}]}

    def told(**fields: str) -> tuple[int, str]:
        picture = (io.BytesIO(image.getvalue()), "picture")
        answer = client.post(
            "/marks", data={"was": "q=tree", "csrf": proof, "picture": picture, "weight": "2", **fields}
        )
        return answer.status_code, answer.text

    first = client.post("/", data={"q": "tree", "picture": (io.BytesIO(image.getvalue()), "p"), "weight": "2"}).text
    proof = re.findall(r'name="csrf" value="([^"]+)"', first)[0]
    assert first.count('class="scripted" name="say"') == 2 and "<noscript" in first
    item = client.post("/api/v1/search", json=asked).get_json()["hits"][0]["item"]
    assert told(say="bad", like=str(item)) == (204, "")
    answer = client.post("/api/v1/search", json=asked).get_json()
    assert answer["marks"] == 1 and item not in [hit["item"] for hit in answer["hits"]]
    assert client.post("/api/v1/search", json={"text": "tree"}).get_json()["marks"] == 0, "not of its words alone"
    assert told(say="forget") == (204, "") and client.post("/api/v1/search", json=asked).get_json()["marks"] == 0
    assert told(say="good", like=str(item), csrf="x")[0] == 403
    fields = {"q": "tree", "explain": "1", "picture": (io.BytesIO(image.getvalue()), "p")}
    assert "<b>a picture</b>" in client.post("/", data=fields).text
    catalog.engine.dispose()
