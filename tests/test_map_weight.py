"""What the map's page weighs, and that what it leaves out comes packed and whole."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from engine.atlas import Atlas, keep_atlas
from engine.catalog import Caption, Catalog, Item
from engine.config import Config
from tests.web_library import copy_library, fetch
from webui import create_app

DOTS, BUDGET = 5000, 60_000


@pytest.fixture
def client(library: Config, tmp_path: Path) -> Iterator[FlaskClient]:
    """A library of 5,000 further pictures, far apart in id, each with a long caption and a place on its map."""
    config = copy_library(library, tmp_path)
    catalog, rng = Catalog(config), np.random.default_rng(0)
    ids = 100_000 + np.cumsum(rng.integers(1, 1000, DOTS))
    numbers = ids.tolist()
    with catalog.session() as session:
        like = {"root_id": 1, "modality": "image", "size": 1, "mtime_ns": 1, "content_hash": f"{7:032x}"}
        words = {"root_id": 1, "modality": "text", "size": 0, "mtime_ns": 1}
        session.execute(sa.insert(Item), [like | {"id": i, "path": f"drawn/{i}.png"} for i in numbers])
        texts = [words | {"id": i + 10**7, "path": f"drawn/{i}.png#1", "parent_id": i} for i in numbers]
        session.execute(sa.insert(Item), texts)
        of = {"lang": "", "source": "drawn.jsonl"}
        said = [of | {"id": i + 10**7, "owner_id": i, "text": f"<b>{i}</b> " + "a long way " * 40} for i in numbers]
        session.execute(sa.insert(Caption), said)
    version = catalog.current_version()
    assert version is not None
    keep_atlas(config.home, Atlas(version.id, ids, rng.random((DOTS, 2)).astype(np.float32), 10**7))
    yield create_app(config).test_client()
    catalog.engine.dispose()


def test_the_map_of_thousands_of_pictures_weighs_less_than_sixty_kilobytes(client: FlaskClient) -> None:
    html, dots = fetch(client, "/library"), fetch(client, "/library/map.bin", Accept_Encoding="gzip")
    assert dots.headers["Content-Encoding"] == "gzip" and "Accept-Encoding" in dots.headers["Vary"]
    static = Path(client.application.static_folder or "")
    parts = {file.name for file in static.iterdir()} - {"docs.js"}
    own = sum(len(fetch(client, f"/static/{name}", Accept_Encoding="gzip").data) for name in parts)
    assert 10 < html.text.count("<image ") <= 24 and 100 < html.text.count("h0") <= 300
    assert own + len(html.data) + len(dots.data) < BUDGET, (own, len(html.data), len(dots.data))


def test_the_script_gets_every_dot_where_it_lies(client: FlaskClient) -> None:
    drawn = client.application.extensions["rebus"].maps
    html, packed = fetch(client, "/library"), client.get("/library/map.bin").data
    assert gzip.decompress(fetch(client, "/library/map.bin", Accept_Encoding="gzip").data) == packed
    shown = drawn.newest()
    whole = np.ascontiguousarray(np.frombuffer(packed, np.uint8).reshape(12, DOTS).T)
    ids = np.cumsum(whole[:, :8].copy().view("<u8").ravel())
    x, y = (whole[:, at : at + 2].copy().view("<u2").ravel() for at in (8, 10))
    assert ids.tolist() == list(shown.items) and len(ids) == DOTS
    assert list(zip((x & 0x7FFF).tolist(), y.tolist(), strict=True)) == list(shown.spots)
    tiled = set(ids[x >= 0x8000].tolist())
    assert tiled == {tile.item for tile in shown.tiles} and len(tiled) > 100
    assert all(f'href="/items/{tile.item}"' in html.text for tile in shown.linked)
