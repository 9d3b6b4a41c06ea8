"""clip-retrieval's own client, unmodified, against a running server: words, pictures, addresses and embeddings."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests

from engine.catalog import Catalog
from engine.config import Config
from engine.types import Modality, Where
from tests.serving import running

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def clip() -> ModuleType:
    """The client's module, as its wheel has it. Its package would import what the client does not need."""
    package = importlib.util.find_spec("clip_retrieval")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "clip_client.py"
    spec = importlib.util.spec_from_file_location("clip_client", file)
    assert spec is not None and spec.loader is not None
    module = sys.modules["clip_client"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def address(library: Config) -> Iterator[str]:
    with running(library) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def api(address: str) -> Iterator[Any]:
    """Asks our own endpoint."""
    with requests.Session() as session:

        def ask(path: str, **body: Any) -> Any:
            answer = session.post(f"{address}/api/v1/{path}", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
            return answer.json()

        yield ask


def test_words_find_what_the_endpoint_finds(clip: ModuleType, address: str, api: Any) -> None:
    client = clip.ClipClient(f"{address}/knn-service", "rebus", num_images=7)
    found = client.query(text="a red boat")
    expected = api("search", text="a red boat", limit=7)["hits"]
    assert [hit["id"] for hit in found] == [hit["id"] for hit in expected] and len(found) == 7
    for hit, own in zip(found, expected, strict=True):
        assert hit["similarity"] == pytest.approx(own["score"], abs=1e-5) and hit["caption"] == own["caption"]
        assert requests.get(hit["url"], timeout=60).headers["Content-Type"] == "image/jpeg"


def test_a_picture_finds_itself_and_words(clip: ModuleType, address: str, library: Config, catalog: Catalog) -> None:
    item = catalog.ids_matching(Where(), Modality.IMAGE)[0]
    file = str(catalog.item(item).file)
    found = clip.ClipClient(f"{address}/knn-service", "rebus", num_images=40).query(image=file)
    scores = {hit["id"]: hit["similarity"] for hit in found}
    assert scores[item] > max(scores.values()) - 1e-3 > 0.99
    words = clip.ClipClient(f"{address}/knn-service", "rebus", modality=clip.Modality.TEXT).query(image=file)
    assert len(words) == 40 and all(hit["caption"] for hit in words)


def test_an_embedding_finds_what_its_words_find(clip: ModuleType, address: str, api: Any) -> None:
    [vector] = api("encode", inputs=[{"text": "a red boat"}])["vectors"]
    client = clip.ClipClient(f"{address}/knn-service", "rebus", num_images=9)
    by_words, by_vector = client.query(text="a red boat"), client.query(embedding_input=vector)
    assert [hit["id"] for hit in by_vector] == [hit["id"] for hit in by_words]


def test_an_address_is_not_fetched(clip: ModuleType, address: str) -> None:
    answer = clip.ClipClient(f"{address}/knn-service", "rebus").query(image=f"{address}/static/logo.svg")
    assert "serve.image_url" in answer["detail"] and answer["status"] == 400


def test_the_indices_and_the_metadata(address: str, api: Any) -> None:
    assert requests.get(f"{address}/indices-list", timeout=60).json() == ["rebus"]
    hits = api("search", text="a boat", limit=3)["hits"]
    ids = [hits[2]["id"], hits[0]["id"]]
    told = requests.post(f"{address}/metadata", json={"ids": [*ids, 99999], "indice_name": "rebus"}, timeout=60).json()
    assert [row["id"] for row in told] == ids
    assert told[1]["metadata"]["caption"] == hits[0]["caption"]
    other = requests.post(f"{address}/metadata", json={"ids": ids, "indice_name": "laion5B"}, timeout=60)
    assert other.status_code == 400 and "rebus" in other.json()["detail"]


def test_the_token_stands_in_the_path(clip: ModuleType, library: Config) -> None:
    told = replace(library, serve=replace(library.serve, token=TOKEN))
    with running(told) as (host, port):
        found = clip.ClipClient(f"http://{host}:{port}/t/{TOKEN}/knn-service", "rebus").query(text="a boat")
        assert requests.get(found[0]["url"], timeout=60).status_code == 200
        assert requests.get(found[0]["url"].replace(TOKEN, "wrong"), timeout=60).status_code == 401
        refused = clip.ClipClient(f"http://{host}:{port}/knn-service", "rebus").query(text="a boat")
        assert refused["status"] == 401


def test_its_front_end_may_read_where_it_is_allowed(library: Config) -> None:
    told = replace(library, serve=replace(library.serve, origins=("http://localhost:1234",)))
    with running(told) as (host, port):
        for origin, status, allowed in (("http://localhost:1234", 200, "http://localhost:1234"),
                                        ("http://evil.example", 403, None)):  # fmt: skip
            answer = requests.post(
                f"http://{host}:{port}/knn-service", data='{"text": "a"}', headers={"Origin": origin}, timeout=60
            )
            assert (answer.status_code, answer.headers.get("Access-Control-Allow-Origin")) == (status, allowed)


@pytest.mark.parametrize(
    "asked",
    [{"embedding_input": [True, 0.5]}, {"embedding_input": ["1"]}, {"text": "a", "num_images": "3"},
     {"text": "a", "deduplicate": 1}],
)  # fmt: skip
def test_values_of_another_type_than_the_document_says_are_refused(address: str, asked: dict[str, Any]) -> None:
    answer = requests.post(f"{address}/knn-service", json=asked, timeout=60)
    assert answer.status_code == 400 and list(asked)[-1] in answer.json()["detail"]
