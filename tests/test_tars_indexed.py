"""A tar of pictures and a folder with sidecars, from indexing to what the page sends."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from engine.catalog import Caption, Catalog, Failure, Item
from engine.config import Config
from engine.search import Searcher
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, silent
from tests.folders import table
from tests.test_tars import SHARD, jpeg, tar
from tests.web_library import fetch
from webui import create_app


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder)}))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tar(tmp_path / "media" / "00000.tar", SHARD)
    draw(tmp_path / "media" / "a.jpg", "red", "boat", 0)
    return tmp_path / "media"


@pytest.fixture
def catalog(config: Config, root: Path) -> Iterator[Catalog]:
    index_folders(config, [root], silent)
    catalog = Catalog(config)
    yield catalog
    catalog.engine.dispose()


def files(catalog: Catalog) -> dict[str, Item]:
    with catalog.session() as session:
        query = sa.select(Item).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        return {item.path: item for item in session.scalars(query)}


def captions(catalog: Catalog) -> dict[str, str]:
    with catalog.session() as session:
        query = sa.select(Caption.text, Item.path).join(Item, Item.id == Caption.id).where(Item.removed_at.is_(None))
        return {text: path for text, path in session.execute(query)}


def test_members_are_items_with_captions_and_are_sent(config: Config, catalog: Catalog) -> None:
    found = files(catalog)
    assert set(found) == {"a.jpg", "00000.tar/000.jpg", "00000.tar/001.jpg"}
    assert captions(catalog) == {"a boat": "00000.tar/000.jpg"}
    client: FlaskClient = create_app(config, Searcher(config, catalog)).test_client()
    item = found["00000.tar/001.jpg"].id
    sent = fetch(client, f"/media/{item}")
    assert (sent.status_code, sent.mimetype, sent.data) == (200, "image/jpeg", SHARD["001.jpg"])
    assert fetch(client, f"/media/{item}", Range="bytes=2-5").data == SHARD["001.jpg"][2:6]
    assert fetch(client, f"/thumbs/{item}").data[:2] == b"\xff\xd8"


def test_a_second_run_touches_nothing_and_a_changed_tar_is_read_again(
    config: Config, root: Path, catalog: Catalog
) -> None:
    before = {path: (item.id, item.stamp) for path, item in files(catalog).items()}
    assert index_folders(config, [root], silent).scans[0].added == 0
    assert {path: (item.id, item.stamp) for path, item in files(catalog).items()} == before
    tar(root / "00000.tar", {"000.jpg": SHARD["000.jpg"], "002.jpg": jpeg("green"), "002.txt": b"a green tree"})
    index_folders(config, [root], silent)
    after = files(catalog)
    assert set(after) == {"a.jpg", "00000.tar/000.jpg", "00000.tar/002.jpg"}
    assert captions(catalog)["a green tree"] == "00000.tar/002.jpg"
    assert after["00000.tar/000.jpg"].id == before["00000.tar/000.jpg"][0]


def test_what_is_wrong_with_sidecars_is_a_failure_until_it_is_mended(
    config: Config, root: Path, catalog: Catalog
) -> None:
    def told() -> dict[str, str]:
        with catalog.session() as session:
            return dict(session.execute(sa.select(Failure.path, Failure.reason)).tuples().all())

    table(root, {"image": "a.jpg", "en": "a boat", "split": "holdout"}, {"image": "gone.jpg", "en": "x"})
    (root / "a.json").write_text("{")
    for _ in range(2):
        index_folders(config, [root], silent)
        assert set(told()) == {"captions.jsonl", "a.json"} and "'holdout'" in told()["captions.jsonl"]
    table(root, {"image": "a.jpg", "en": "a boat"})
    (root / "a.json").unlink()
    index_folders(config, [root], silent)
    assert told() == {}
