"""A library whose rows and vectors a test writes itself, without files or an encoder, to group and fold them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from engine.catalog import Embedding, EncoderRow, Item, Root
from engine.config import Config
from engine.encoders.features import is_features
from engine.store import EmbeddingStore, store_folder
from indexer.duplicates import group_duplicates
from tests.catalogs import new_catalog
from tests.conftest import silent


class Shelf:
    """Items by number, in the order they were put there. Close it at the end."""

    def __init__(self, config: Config, dim: int, root: Path = Path("/media"), spec: str = "none") -> None:
        self.config, self.catalog = config, new_catalog(config)
        with self.catalog.session() as session:
            self.encoder = EncoderRow(fingerprint="f" * 64, spec=spec, dim=dim)
            session.add_all([self.encoder, Root(path=str(root))])
        self.store = EmbeddingStore(store_folder(config.home, self.encoder.fingerprint), dim)

    def close(self) -> None:
        self.catalog.engine.dispose()

    def add(self, *items: Item, vectors: Sequence[Sequence[float]]) -> list[int]:
        """Put items with their vectors, made of unit length unless they are features; their ids."""
        for item in items:
            item.root_id = 1
            item.modality = item.modality or "image"
            item.size, item.mtime_ns = item.size or 1, item.mtime_ns or 1
        with self.catalog.session() as session:
            session.add_all(items)
            session.flush()
            ids = [item.id for item in items]
        self.embed(ids, vectors)
        return ids

    def embed(self, ids: Sequence[int], vectors: Sequence[Sequence[float]]) -> None:
        """Give items new embeddings, as the indexer does when they are new, changed or back."""
        rows = np.array(vectors, np.float32)
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        places = self.store.append(rows if is_features(self.encoder.spec) else unit)
        with self.catalog.session() as session:
            session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(ids)))
            session.flush()
            for item, shard, row in zip(ids, *(place.tolist() for place in places), strict=True):
                session.add(Embedding(item_id=item, encoder_id=self.encoder.id, shard=shard, row=row))

    def change(self, ids: Sequence[int], **values: object) -> None:
        """Set columns of items."""
        with self.catalog.session() as session:
            session.execute(sa.update(Item).where(Item.id.in_(ids)).values(**values))

    def group(self, config: Config | None = None) -> int:
        """Bring the groups up to date; how many items changed theirs."""
        return group_duplicates(self.catalog, config or self.config, self.encoder, silent)

    def regroup(self) -> int:
        """Group everything anew, as if for the first time."""
        with self.catalog.session() as session:
            session.execute(sa.update(EncoderRow).values(grouping=sa.null()))
        return self.group()

    def groups(self) -> dict[int, int]:
        """The group of each item that has one."""
        with self.catalog.session() as session:
            found = session.execute(sa.select(Item.id, Item.group_id).where(Item.group_id.is_not(None)))
            return {row.id: row.group_id for row in found}
