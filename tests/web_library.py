"""What the tests of the web share: changed copies of the session's library, and answers read whole."""

import shutil
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from engine.catalog import Caption, Catalog, Item, Root
from engine.config import Config

HOSTILE = '<img src=x onerror="window.hacked=1">'


def copy_library(library: Config, folder: Path) -> Config:
    """An independent copy, its media folder included."""
    shutil.copytree(library.home, folder / "home")
    config = replace(library, home=folder / "home")
    catalog = Catalog(config)
    with catalog.session() as session:
        for root in session.scalars(sa.select(Root)):
            copy = folder / f"media{root.id}"
            shutil.copytree(root.path, copy)
            root.path = str(copy)
    catalog.engine.dispose()
    return config


def make_hostile(config: Config) -> int:
    """Every caption and one file's name become markup; return that file's item."""
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(sa.update(Caption).values(text=HOSTILE))
        first = session.scalars(sa.select(Item).where(Item.modality == "image").order_by(Item.id)).first()
        assert first is not None
        root = Path(session.get_one(Root, first.root_id).path)
        old, new = first.path, str(Path(first.path).with_name(f"{HOSTILE}.png"))
        (root / old).rename(root / new)
        session.execute(sa.update(Item).where(Item.path == old).values(path=new))
        item = first.id
    catalog.engine.dispose()
    return item


def fetch(client: FlaskClient, address: str, **headers: str) -> TestResponse:
    """GET; the answer is read whole, so that no file stays open."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = client.get(address, headers=named)
    _ = response.data
    response.close()
    return response
