"""A shard that lost its end: who is started then serves the version that is whole, with what else is there."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import MANIFEST, write_artifact
from engine.catalog import Catalog, Item
from engine.config import Config
from engine.errors import ArtifactError
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.build import build
from tests.conftest import config_at, silent
from tests.shelves import Shelf
from tests.test_listed_library import DIM, points
from webui import create_app

OLDER, NEWER = 300, 200


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """Two versions over one shard."""
    shelf = Shelf(config_at(tmp_path), DIM)
    for count in (OLDER, NEWER):
        items = [Item(path=f"{count}/{number}.jpg") for number in range(count)]
        shelf.add(*items, vectors=points(count, count).tolist())
        build(shelf.catalog, shelf.config, shelf.encoder, silent)
    yield shelf
    shelf.close()


@pytest.mark.parametrize("left", [OLDER, OLDER + 1, OLDER + NEWER - 1])
def test_the_version_before_serves_with_what_is_there(
    shelf: Shelf, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    os.truncate(shelf.store.path(0), left * 2 * DIM)
    searcher = Searcher(shelf.config, shelf.catalog)
    assert searcher.version.id == 1 and len(searcher.version.indexes[Modality.IMAGE]) == left
    hits = searcher.search(Query((Term(item=left),), limit=5)).hits
    assert hits[0].id == left and not searcher.refresh()
    assert f"{OLDER + NEWER - left} embeddings lie past the end" in caplog.text and "`rebus doctor`" in caplog.text


def test_where_no_version_is_whole_that_is_said(shelf: Shelf) -> None:
    os.truncate(shelf.store.path(0), (OLDER - 1) * 2 * DIM + DIM)
    with pytest.raises(ArtifactError, match="rebus doctor"):
        _ = Searcher(shelf.config, shelf.catalog).version


@pytest.mark.parametrize(
    "facts", [{"depths": {}}, {"depths": {"probes": 1}}, {"codec": []}, {"codec": {"kind": {}}}, {"bits": -1}], ids=str
)
def test_a_manifest_that_says_what_no_release_does_is_passed_over(shelf: Shelf, facts: dict[str, Any]) -> None:
    folder = shelf.config.home / "versions" / "000002"
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["indexes"]["image"] |= facts
    with write_artifact(folder, {"encoder": manifest["encoder"], "head": None, "indexes": manifest["indexes"]}) as kept:
        shutil.copytree(folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
    assert Searcher(shelf.config, shelf.catalog).version.id == 1


def test_where_none_is_whole_programs_and_people_are_told_what_to_do_until_it_is_done(
    changed: Config, caplog: pytest.LogCaptureFixture, command: Any
) -> None:
    caplog.set_level("WARNING")
    (shard,) = changed.home.glob("embeddings/*/000000.f16")
    os.truncate(shard, shard.stat().st_size // 2)
    catalog = Catalog(changed)
    client = create_app(changed, Searcher(changed, catalog)).test_client()
    for _ in range(3):
        answer = client.get("/api/v1/search?q=a+red+boat")
        assert answer.status_code == 503 and answer.mimetype == "application/problem+json"
        assert "`rebus doctor --repair`" in answer.text and str(changed.home) not in answer.text
    page = client.get("/?q=a+red+boat")
    assert page.status_code == 503 and "rebus doctor --repair" in page.text
    assert client.get("/readyz").status_code == 503
    assert caplog.text.count("passed over") == len(catalog.versions()) and "Traceback" not in caplog.text
    command(changed.home, "doctor", "--repair")
    answer = client.get("/api/v1/search?q=a+red+boat")
    assert answer.status_code == 200 and json.loads(answer.text)["hits"]
    catalog.engine.dispose()
