"""A large library of drawn vectors, made in seconds: real rows, shards and versions, and a small encoder of words."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import sqlalchemy as sa
import torch
from safetensors.torch import save_file

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, Root
from engine.config import Config
from engine.encoders import CONFIG_FILE, WEIGHTS_FILE, load_encoder
from engine.store import EmbeddingStore, store_folder
from indexer.build import build
from indexer.jobs import writing

DIM = 256
# The text tower of the encoders that Rebus trains, of random weights; its pictures are not asked for.
MODEL = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 28, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
_SEED, _CENTRES, _CHUNK = 0, 1000, 50_000


def silent(*_: Any) -> None:
    """Hears progress and says nothing."""


class DrawnLibrary:
    """A library that grows, shrinks and publishes as indexing does. Pictures have captions; vectors lie in clusters."""

    def __init__(self, config: Config) -> None:
        self.config, self.catalog = config, Catalog(config, create=True)
        self._random = np.random.default_rng(_SEED)
        self._centres = self._random.normal(size=(_CENTRES, DIM)).astype(np.float32)
        encoder = load_encoder(str(_write_model(config.home)), "cpu")
        with self.catalog.session() as session:
            row = EncoderRow(fingerprint=encoder.fingerprint, spec=encoder.spec, dim=DIM)
            session.add_all([Root(path=str(config.home / "media")), row])
        self.encoder_id, self.fingerprint = row.id, encoder.fingerprint

    def add(self, count: int) -> None:
        """Write items, captions and embeddings."""
        for start in range(0, count, _CHUNK):
            self._add(min(_CHUNK, count - start))

    def _add(self, count: int) -> None:
        vectors = self._centres[self._random.integers(_CENTRES, size=count)]
        vectors = vectors + 0.7 * self._random.normal(size=vectors.shape).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        store = EmbeddingStore(store_folder(self.config.home, self.fingerprint), DIM)
        shards, rows = store.append(vectors.astype(np.float32))
        now = time.time()
        with self.catalog.session() as session:
            first = (session.scalar(sa.select(sa.func.max(Item.id))) or 0) + 1
            ids = range(first, first + count)
            common = {"root_id": 1, "size": 1000, "mtime_ns": 1, "added_at": now, "stamp": ""}
            session.execute(sa.insert(Item), [
                {**common, "id": i, "modality": "image", "path": f"{i % 100}/{i}.jpg", "folder": str(i % 100),
                 "content_hash": f"{i:032x}", "width": 640, "height": 480} for i in ids
            ])  # fmt: skip
            session.execute(sa.insert(Item), [
                {**common, "id": i + count, "parent_id": i, "modality": "text", "path": f"{i % 100}/{i}.jpg",
                 "folder": str(i % 100)} for i in ids
            ])  # fmt: skip
            session.execute(sa.insert(Caption), [
                {"id": i + count, "owner_id": i, "text": f"picture {i}", "lang": "en", "source": "drawn"} for i in ids
            ])  # fmt: skip
            session.execute(sa.insert(Embedding), [
                {"item_id": i, "encoder_id": self.encoder_id, "shard": int(shard), "row": int(row)}
                for i, shard, row in zip(ids, shards, rows, strict=True)
            ])  # fmt: skip
            change = sa.update(EncoderRow).where(EncoderRow.id == self.encoder_id)
            session.execute(change.values(rows=EncoderRow.rows + count))

    def remove(self, ids: Sequence[int]) -> None:
        """Mark items removed, as a scan does."""
        with self.catalog.session() as session:
            session.execute(sa.update(Item).where(Item.id.in_(ids)).values(removed_at=time.time()))

    def present(self, count: int) -> list[int]:
        """Some of the pictures that are there, drawn."""
        with self.catalog.session() as session:
            query = sa.select(Item.id).where(Item.modality == "image", Item.removed_at.is_(None))
            ids = session.scalars(query).all()
        return [int(i) for i in self._random.choice(ids, size=min(count, len(ids)), replace=False)]

    def publish(self) -> None:
        """Build a version of all that is embedded."""
        with writing(self.catalog, "index", silent) as job, self.catalog.session() as session:
            row = session.get_one(EncoderRow, self.encoder_id)
        build(self.catalog, self.config, row, job)


def _write_model(home: Path) -> Path:
    folder = home / "encoders" / "drawn"
    folder.mkdir(parents=True)
    torch.manual_seed(_SEED)
    model = open_clip.CLIP(**MODEL)
    (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"resize_mode": "squash"}}))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)
    return folder
