"""A library of vectors alone that a test changes row by row as the indexer does, and what a search of it must find."""

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, EncoderRow, IndexVersion, Item, Root
from engine.config import Config, load_config
from engine.search import Searcher
from engine.store import EmbeddingStore, store_folder
from engine.types import F32, Query, Term
from indexer.build import build
from indexer.care.collect import Collected, collect
from indexer.changes import mark_removed, renew_embeddings
from indexer.jobs import writing
from tests.catalogs import new_catalog

DIM, FINGERPRINT = 12, "abcdef0123456789abcdef0123456789"


def silent(*_: object) -> None:
    """Hears progress and says nothing."""


class Served:
    """Items by id, and the vector that each has; `vectors` holds the present ones, as float16 keeps them."""

    def __init__(self, place: Path, seed: int = 0) -> None:
        config = load_config(place / "home", environ={})
        self.config: Config = replace(config, codec=replace(config.codec, bits=64))
        self.catalog = new_catalog(self.config)
        self.rng, self.vectors, self.removed = np.random.default_rng(seed), dict[int, F32](), dict[int, F32]()
        with self.catalog.session() as session:
            session.add_all([EncoderRow(fingerprint=FINGERPRINT, spec="none", dim=DIM), Root(path=str(place))])

    @classmethod
    def copy(cls, other: "Served", place: Path) -> "Served":
        """The same library elsewhere."""
        other.catalog.engine.dispose()
        shutil.copytree(other.config.home, place / "home")
        same = cls.__new__(cls)
        same.config = replace(other.config, home=place / "home")
        same.catalog, same.rng = Catalog(same.config), np.random.default_rng(1)
        same.vectors, same.removed = dict(other.vectors), dict(other.removed)
        return same

    def close(self) -> None:
        """Let the database go."""
        self.catalog.engine.dispose()

    def drawn(self, count: int) -> F32:
        """Unit rows (count, DIM) as float16 keeps them."""
        x = self.rng.standard_normal((count, DIM))
        rows: F32 = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
        return rows

    def add(self, count: int, rows: F32 | None = None, tail: str = "", modality: str = "image") -> list[int]:
        """New items with their embeddings, drawn or given; their paths end in a number and `tail`."""
        with self.catalog.session() as session:
            last = session.scalar(sa.select(sa.func.max(Item.id))) or 0
            facts = {"root_id": 1, "modality": modality, "size": 1, "mtime_ns": 1}
            items = [Item(path=f"{last + number:05d}{tail}", **facts) for number in range(1, count + 1)]
            session.add_all(items)
            session.flush()
            ids = [item.id for item in items]
        self.embed(ids, rows)
        return ids

    def embed(self, ids: list[int], rows: F32 | None = None) -> None:
        """Give items new vectors: what is new, or was edited."""
        rows = self.drawn(len(ids)) if rows is None else rows
        encoder = self.encoder()
        store = EmbeddingStore(store_folder(self.config.home, FINGERPRINT, encoder.generation), DIM)
        store.recover(encoder.rows)
        places = store.append(rows)
        with self.catalog.session() as session:
            session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(ids)))
            for item, shard, row in zip(ids, *(place.tolist() for place in places), strict=True):
                session.add(Embedding(item_id=item, encoder_id=1, shard=shard, row=row))
            session.get_one(EncoderRow, 1).rows += len(ids)
        self.vectors |= dict(zip(ids, rows, strict=True))

    def remove(self, ids: Iterable[int]) -> None:
        """As a scan does when files are gone."""
        with self.catalog.session() as session:
            mark_removed(session, list(ids))
        self.removed |= {i: self.vectors.pop(i) for i in ids if i in self.vectors}

    def restore(self, ids: Iterable[int]) -> None:
        """As a scan does when the same files are there again."""
        ids = [i for i in ids if i in self.removed]
        with self.catalog.session() as session:
            session.execute(sa.update(Item).where(Item.id.in_(ids)).values(removed_at=None))
            renew_embeddings(session, ids)
        self.vectors |= {i: self.removed.pop(i) for i in ids}

    def encoder(self) -> EncoderRow:
        """The row of the only encoder."""
        with self.catalog.session() as session:
            return session.get_one(EncoderRow, 1)

    def publish(self) -> IndexVersion | None:
        """Build a version of what is embedded."""
        with writing(self.catalog, "index", silent) as job:
            return build(self.catalog, self.config, self.encoder(), job)

    def collect(self) -> Collected:
        """Forget for good what was removed, and compact."""
        report = collect(self.config, silent)
        self.removed.clear()
        return report

    def check(self, searcher: Searcher) -> None:
        """A refreshed searcher finds just what is present, by cosine, with the cascade and without."""
        searcher.refresh()
        if not self.vectors:
            assert not self.catalog.versions() or not sum(map(len, searcher.version.indexes.values()))
            return
        asked = sorted(self.vectors)[len(self.vectors) // 2]
        truth = {i: float(vector @ self.vectors[asked]) for i, vector in self.vectors.items()}
        for exact in (False, True):
            query = Query((Term(item=asked),), limit=10_000, exact=exact, fold=False)
            hits = searcher.search(query).hits
            assert sorted(hit.id for hit in hits) == sorted(truth)
            found = [hit.order for hit in hits]
            np.testing.assert_allclose(found, [truth[hit.id] for hit in hits], atol=2e-3)
            assert found == sorted(found, reverse=True)
