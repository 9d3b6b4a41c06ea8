"""Renames in the run that also changes the encoder: what either one made of a content follows it."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, EncoderRow, Item
from engine.config import Config
from engine.encoders import Encoder, load_encoder
from engine.store import EmbeddingStore, store_folder
from indexer import scan
from indexer.library import index_folders
from tests.conftest import config_at, draw, silent
from tests.models import write_tiny_model
from tests.test_moves import ids, outcome

_COLORS = "red", "blue", "green"


@pytest.fixture(scope="module")
def encoders(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Encoder]:
    other = write_tiny_model(tmp_path_factory.mktemp("other"), seed=1)
    return [load_encoder(str(folder), "cpu") for folder in (encoder_folder, other)]


def vectors(config: Config, encoder: Encoder) -> dict[str, list[float]]:
    """What an encoder's store has of the present files, by their paths."""
    catalog = Catalog(config)
    with catalog.session() as session:
        row = session.scalars(sa.select(EncoderRow).where(EncoderRow.fingerprint == encoder.fingerprint)).one()
        query = sa.select(Item.path, Embedding.shard, Embedding.row).join(Embedding, Embedding.item_id == Item.id)
        query = query.where(Embedding.encoder_id == row.id, Item.removed_at.is_(None), Item.parent_id.is_(None))
        places = session.execute(query).all()
    store = EmbeddingStore(store_folder(config.home, row.fingerprint, row.generation), row.dim)
    read = store.read(np.array([one.shard for one in places]), np.array([one.row for one in places]))
    return {one.path: vector.tolist() for one, vector in zip(places, read, strict=True)}


def test_embeddings_of_both_encoders_follow_their_contents(
    encoders: list[Encoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all that waits for the new encoder is read long before the scan comes to the files' new places."""
    monkeypatch.setattr(scan, "_CHUNKS", (1, 1))
    config, media = config_at(tmp_path / "home"), tmp_path / "media"
    for number, color in enumerate(_COLORS):
        draw(media / f"{number}.jpg", color, "tree", number)
        os.utime(media / f"{number}.jpg", ns=(number, number))
    index_folders(config, [media], silent, encoder=encoders[0])
    before, by_first = ids(config), vectors(config, encoders[0])
    draw(media / "+.jpg", "yellow", "boat", 4)  # is compared first
    for old, new in (("0", "x"), ("1", "0"), ("x", "1"), ("2", "z")):
        (media / f"{old}.jpg").rename(media / f"{new}.jpg")
    report = index_folders(config, [media], silent, encoder=encoders[1])
    assert outcome(report.scans[0]) == (3, 1, 0) and report.scans[0].changed == 0
    after = ids(config)
    names = {f"{number}.jpg": f"{name}.jpg" for number, name in enumerate("10z")}
    assert {name: after[name] for name in names.values()} == {new: before[old] for old, new in names.items()}
    assert vectors(config, encoders[0]) == {new: by_first[old] for old, new in names.items()}
    fresh = dataclasses.replace(config, home=tmp_path / "fresh")
    index_folders(fresh, [media], silent, encoder=encoders[1])
    assert vectors(config, encoders[1]) == vectors(fresh, encoders[1])
