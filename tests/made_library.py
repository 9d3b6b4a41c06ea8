"""A small library made row by row, with random vectors, for tests that need no encoder."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import xxhash

from engine.artifacts import write_artifact
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, FactsRow, IndexVersion, Item, Keyword, Mark, Root
from engine.config import Config, load_config
from engine.store import EmbeddingStore, store_folder
from engine.thumbnails import save_thumbnail, thumbnail_file
from engine.types import F32
from indexer.build import build
from indexer.jobs import writing
from tests.catalogs import new_catalog

DIM = 16
FINGERPRINT = "0123456789abcdef0123456789abcdef"


def silent(*_: Any) -> None:
    """Hears progress and says nothing."""


def unit_rows(count: int, seed: int) -> F32:
    """(count, DIM) random vectors of unit length."""
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    out: F32 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return out


def make_library(place: Path, files: int = 12, captions: int = 2) -> Config:
    """A library at `place`/home of files in `place`/media, each with captions, published with an encoder of its own."""
    config = dataclasses.replace(load_config(place / "home", environ={}), home=place / "home")
    config = dataclasses.replace(config, codec=dataclasses.replace(config.codec, bits=64))
    catalog = new_catalog(config)
    encoder = _make_encoder(catalog)
    with catalog.session() as session:
        session.add(Root(path=str(place / "media")))
    add_files(config, place / "media", [f"{number % 3}/{number:03d}.jpg" for number in range(files)], captions)
    publish(config, encoder)
    catalog.engine.dispose()
    return config


def _make_encoder(catalog: Catalog) -> EncoderRow:
    with write_artifact(catalog.home / "encoders" / "made", {"kind": "encoder"}) as folder:
        (folder / "open_clip_config.json").write_text("{}")
        (folder / "open_clip_model.safetensors").write_bytes(b"weights")
    row = EncoderRow(fingerprint=FINGERPRINT, spec="encoders/made", dim=DIM)
    with catalog.session() as session:
        session.add(row)
    return row


def add_files(config: Config, media: Path, names: Sequence[str], captions: int = 2, encoder_id: int = 1) -> list[int]:
    """Write files, their items, captions, facts, thumbnails and embeddings; the ids of the files' items."""
    catalog = Catalog(config)
    made: list[Item] = []
    with catalog.session() as session:
        for name in names:
            data = f"picture {name}".encode()
            (media / name).parent.mkdir(parents=True, exist_ok=True)
            (media / name).write_bytes(data)
            content = xxhash.xxh3_128_hexdigest(data)
            save_thumbnail(thumbnail_file(config.home, content), b"jpeg of " + data)
            item = Item(root_id=1, modality="image", path=name, folder=name.rpartition("/")[0], stamp="")
            item.size, item.mtime_ns, item.content_hash = len(data), 1, content
            session.add(item)
            session.flush()
            session.add_all([FactsRow(item_id=item.id, camera="Box"), Keyword(item_id=item.id, word="made")])
            session.add(Mark(item_id=item.id, query="box", good=True))
            made.append(item)
            for number in range(captions):
                words = Item(root_id=1, parent_id=item.id, modality="text", path=name, folder=item.folder, size=1)
                words.mtime_ns = 1
                session.add(words)
                session.flush()
                facts = {"text": f"{name} {number}", "lang": "en", "source": "made"}
                session.add(Caption(id=words.id, owner_id=item.id, **facts))
    embed_all(catalog, encoder_id)
    catalog.engine.dispose()
    return [item.id for item in made]


def embed_all(catalog: Catalog, encoder_id: int = 1) -> int:
    """Give every present item without an embedding one, as the indexer does; how many."""
    with catalog.session() as session:
        row = session.get_one(EncoderRow, encoder_id)
        done = sa.select(Embedding.item_id).where(Embedding.encoder_id == encoder_id)
        query = sa.select(Item.id).where(Item.removed_at.is_(None), Item.id.not_in(done)).order_by(Item.id)
        ids = list(session.scalars(query))
    store = EmbeddingStore(store_folder(catalog.home, row.fingerprint, row.generation), DIM)
    store.recover(row.rows)
    shards, rows = store.append(np.concatenate([unit_rows(1, i) for i in ids])) if ids else ((), ())
    with catalog.session() as session:
        for item, shard, place in zip(ids, map(int, shards), map(int, rows), strict=True):
            session.add(Embedding(item_id=item, encoder_id=encoder_id, shard=shard, row=place))
        change = sa.update(EncoderRow).where(EncoderRow.id == encoder_id)
        session.execute(change.values(rows=EncoderRow.rows + len(ids)))
    return len(ids)


def publish(config: Config, encoder: EncoderRow) -> None:
    """Build a version of all that the encoder embedded."""
    catalog = Catalog(config)
    with writing(catalog, "index", silent) as job, catalog.session() as session:
        row = session.get_one(EncoderRow, encoder.id)
    build(catalog, config, row, job)
    catalog.engine.dispose()


def remove_files(config: Config, names: Sequence[str], days_ago: float = 0.0) -> None:
    """Mark files removed, as a scan does when they are gone, with their captions; the files go too."""
    catalog = Catalog(config)
    with catalog.session() as session:
        root = session.get_one(Root, 1)
        ids = list(session.scalars(sa.select(Item.id).where(Item.path.in_(names), Item.parent_id.is_(None))))
        gone = sa.update(Item).where(sa.or_(Item.id.in_(ids), Item.parent_id.in_(ids)))
        session.execute(gone.values(removed_at=time.time() - days_ago * 86_400))
    for name in names:
        (Path(root.path) / name).unlink(missing_ok=True)
    catalog.engine.dispose()


def snapshot(config: Config) -> dict[str, Any]:
    """All that a library holds, as JSON values, without times and job rows."""
    catalog = Catalog(config)
    hidden = {"added_at", "created_at", "published_at", "marked_at", "removed_at"}
    held: dict[str, Any] = {}
    with catalog.session() as session:
        for table in (Item, Caption, FactsRow, Keyword, Mark, Embedding, EncoderRow, IndexVersion):
            columns = [column for column in table.__table__.columns if column.name not in hidden]
            query = sa.select(*columns).order_by(*table.__mapper__.primary_key)
            held[table.__tablename__] = [list(row) for row in session.execute(query)]
    held["files"] = {
        str(path.relative_to(config.home)): xxhash.xxh3_128_hexdigest(path.read_bytes())
        for path in sorted(config.home.rglob("*"))
        if path.is_file() and not path.name.startswith("catalog.db") and path.suffix != ".lock"
    }
    catalog.engine.dispose()
    return held


def vectors(config: Config) -> dict[int, bytes]:
    """The stored vector of every item that has one, by item."""
    catalog = Catalog(config)
    with catalog.session() as session:
        row = session.get_one(EncoderRow, 1)
        places = session.execute(sa.select(Embedding.item_id, Embedding.shard, Embedding.row)).all()
    catalog.engine.dispose()
    store = EmbeddingStore(store_folder(config.home, row.fingerprint, row.generation), DIM)
    return {p.item_id: store.read(np.array([p.shard]), np.array([p.row])).tobytes() for p in places}
