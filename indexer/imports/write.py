"""Entries to items, captions and embeddings: vectors first, then, in one transaction, everything that points to them.

A run that was killed is followed by one that finds what is there and adds the rest. What an import has no more leaves
as a removed file does; what comes back, or changes, keeps its id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Catalog, Embedding, EncoderRow, Item, Root, chunks
from engine.config import Config
from engine.encoders import Encoder
from engine.errors import MediaError, NotFound
from engine.media import modality_of
from engine.media.files import file_inside, hash_file
from engine.types import F32, I64, Modality
from indexer.captions import Owner, Words, sync_words, words_of
from indexer.changes import mark_removed, renew_embeddings
from indexer.found import file_of
from indexer.imports.check import Entry
from indexer.imports.matrices import Matrix
from indexer.write import Vectors

BLOCK = 500  # entries in one transaction


@dataclass(slots=True)
class Counts:
    """What an import did: pictures that are new, back or gone, and vectors that were written."""

    added: int = 0
    back: int = 0
    removed: int = 0
    vectors: int = 0


class FeatureWriter:
    """Writes one library's entries into its root. encoder: what made the vectors, when it can be loaded."""

    def __init__(
        self, catalog: Catalog, config: Config, root: Root, row: EncoderRow, images: Matrix, texts: Matrix | None,
        encoder: Encoder | None,
    ) -> None:  # fmt: skip
        self.catalog, self.config, self.root = catalog, config, root
        self.images, self.texts, self.encoder = images, texts, encoder
        self.vectors = Vectors(catalog, row)
        self.counts = Counts()
        self._seen: list[I64] = []

    def write(self, entries: Sequence[Entry], first: int) -> None:
        """Write entries whose image features begin at row `first`."""
        with self.catalog.session() as session:
            ids = self._items(session, entries)
            self._seen.append(np.array(ids, np.int64))
            images = self._read(self.images, np.arange(first, first + len(entries)))
            text_ids, texts = self._words(session, entries, ids)
            places = self._changed(session, [*ids, *text_ids], np.concatenate([images, texts]))
            self.vectors.insert(session, places)
            self.counts.vectors += len(places)

    def remove_missing(self) -> None:
        """Take out the pictures that the library has no more, with their captions."""
        here = sa.select(Item.id).where(
            Item.root_id == self.root.id, Item.parent_id.is_(None), Item.removed_at.is_(None)
        )
        with self.catalog.session() as session:
            gone = np.setdiff1d(np.fromiter(session.scalars(here), np.int64), np.concatenate(self._seen)).tolist()
            for some in chunks(gone, 500):
                mark_removed(session, some)
        self.counts.removed = len(gone)

    def _items(self, session: Session, entries: Sequence[Entry]) -> list[int]:
        """The item of each entry: as it was, made, or brought back."""
        query = sa.select(Item).where(Item.root_id == self.root.id, Item.parent_id.is_(None))
        query = query.where(Item.path.in_([entry.path for entry in entries]))
        living = sa.case((Item.removed_at.is_(None), 1), else_=0)
        known = {item.path: item for item in session.scalars(query.order_by(living, Item.id))}
        back = [item for item in known.values() if item.removed_at is not None]
        made: list[Item] = []
        for entry in entries:
            item = known.get(entry.path)
            if item is None:
                item = known[entry.path] = self._new(entry.path)
                made.append(item)
            item.split, item.category, item.removed_at = entry.split, entry.category, None
            _look_at_file(Path(self.root.path), item, self.config.media.max_bytes)
        session.add_all(made)
        session.flush()
        renew_embeddings(session, [item.id for item in back])
        self.counts.added += len(made)
        self.counts.back += len(back)
        return [known[entry.path].id for entry in entries]

    def _new(self, path: str) -> Item:
        folder = path.rpartition("/")[0]
        return Item(root_id=self.root.id, modality=Modality.IMAGE, path=path, folder=folder, size=0, mtime_ns=0)

    def _words(self, session: Session, entries: Sequence[Entry], ids: Sequence[int]) -> tuple[list[int], F32]:
        """Make the captions of pictures what the entries say; the text items that have a vector, and these."""
        wanted, rows = [], dict[tuple[int, Words], int | None]()
        for entry, item_id in zip(entries, ids, strict=True):
            words = [(Words(text.text, text.lang, text.source, item_id), row) for text, row in entry.words]
            wanted.append((Owner(item_id, self.root.id, entry.path, 0), [one for one, _ in words]))
            rows |= {(item_id, one): row for one, row in words}
        sync_words(session, wanted, inside=False)
        found = words_of(session, ids, inside=False)
        text_ids = {key: found[key[0]][key[1]].id for key in rows}
        given = [(text_ids[key], row) for key, row in rows.items() if row is not None]
        parts = [np.empty((0, self.vectors.row.dim), np.float32)]
        if given and self.texts is not None:
            parts.append(self._read(self.texts, np.array([row for _, row in given])))
        if self.encoder is None:
            return [i for i, _ in given], parts[-1]
        waiting = [(text_ids[key], key[1].text) for key, row in rows.items() if row is None]
        waiting = self._without_vector(session, waiting)
        for some in chunks([text for _, text in waiting], self.config.encoder.batch_size):
            parts.append(self.encoder.encode_text(some))
        return [*(i for i, _ in given), *(i for i, _ in waiting)], np.concatenate(parts)

    def _without_vector(self, session: Session, words: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
        have = self._places(session, [i for i, _ in words])
        return [(i, text) for i, text in words if i not in have]

    def _read(self, matrix: Matrix, rows: I64) -> F32:
        """Rows as they are stored: as wide as the widest; of unit length only where a real encoder says so."""
        out = np.zeros((len(rows), self.vectors.row.dim), np.float32)
        out[:, : matrix.width] = matrix.read(rows)
        if self.encoder is not None:
            out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return out.astype(np.float16).astype(np.float32)

    def _changed(self, session: Session, ids: Sequence[int], vectors: F32) -> list[tuple[int, tuple[int, int]]]:
        """Put on the disk the vectors of items that have none, or another; their items and places."""
        have = self._places(session, ids)
        old = [position for position, item_id in enumerate(ids) if item_id in have]
        places = np.array([have[ids[position]] for position in old], np.int64).reshape(-1, 2)
        same = (self.vectors.store.read(places[:, 0], places[:, 1]) == vectors[old]).all(1)
        kept = set(np.array(old, np.int64)[same].tolist())
        fresh = [position for position in range(len(ids)) if position not in kept]
        if not fresh:
            return []
        return list(zip([ids[position] for position in fresh], self.vectors.append(vectors[fresh]), strict=True))

    def _places(self, session: Session, ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        query = sa.select(Embedding.item_id, Embedding.shard, Embedding.row)
        query = query.where(Embedding.encoder_id == self.vectors.row.id)
        for some in chunks(list(ids), 500):
            rows: Any = session.execute(query.where(Embedding.item_id.in_(some)))
            found |= {row.item_id: (row.shard, row.row) for row in rows}
        return found


def _look_at_file(root: Path, item: Item, max_bytes: int) -> None:
    """Note the content of the picture itself, when it is there: without it the item has no thumbnail, and no more."""
    if modality_of(item.path) is not Modality.IMAGE:
        return
    try:
        path = file_inside(root, root / item.path)
        file = file_of(item.path, path.stat())
        if (item.size, item.mtime_ns) != (file.size, file.mtime_ns) or item.content_hash is None:
            item.content_hash = hash_file(path, max_bytes)
            item.size, item.mtime_ns = file.size, file.mtime_ns
    except (NotFound, MediaError, OSError, ValueError):
        item.content_hash = None
