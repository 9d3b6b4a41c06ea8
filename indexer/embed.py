"""Embed what has no embedding yet: read, decode and prepare beside encoding, in a bounded window; then write.

Vectors are on the disk before their rows commit, batch by batch, so a kill at any point loses only the batch
under way. Batches are cut from the pending items in the order of their ids: a run that was killed and started
again forms the same batches as one that was not.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, Root, chunks
from engine.config import Config
from engine.encoders import Encoder
from engine.errors import MediaError
from engine.media import decode_file
from engine.store import EmbeddingStore
from engine.thumbnails import save_thumbnail
from engine.types import F32, Modality
from engine.versions import store_folder
from indexer.failures import record_failure
from indexer.jobs import Tell

_WINDOW = 3  # batches decoded ahead of the encoder


@dataclass(frozen=True, slots=True)
class Pending:
    """A picture waiting for its embedding."""

    id: int
    root_id: int
    root: str
    path: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture ready for the encoder, with the facts that the catalog keeps."""

    input: F32
    width: int
    height: int
    content_hash: str


def register_encoder(catalog: Catalog, encoder: Encoder, report: dict[str, object] | None = None) -> EncoderRow:
    """The encoder's row, made when it is new here."""
    with catalog.session() as session:
        row = session.scalar(sa.select(EncoderRow).where(EncoderRow.fingerprint == encoder.fingerprint))
        if row is None:
            row = EncoderRow(fingerprint=encoder.fingerprint, dim=encoder.dims[Modality.TEXT], report=report or {})
            session.add(row)
        row.spec = encoder.spec
        return row


def embed(catalog: Catalog, config: Config, encoder: Encoder, tell: Tell) -> int:
    """Embed every present item that this encoder has not; return how many were tried."""
    return _Embedding(catalog, config, encoder, tell).run()


class _Embedding:
    def __init__(self, catalog: Catalog, config: Config, encoder: Encoder, tell: Tell) -> None:
        self.catalog, self.config, self.encoder, self.tell = catalog, config, encoder, tell
        self.row = register_encoder(catalog, encoder)
        self.store = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint), self.row.dim)
        self.store.recover(self.row.rows)

    def run(self) -> int:
        size = self.config.encoder.batch_size
        pictures, captions = self._pending_pictures(), self._pending_captions()
        done, total = 0, len(pictures) + len(captions)
        for batch, decoded in self._decoded(list(chunks(pictures, size))):
            self._write_pictures(batch, decoded)
            done += len(batch)
            self.tell("embedding pictures", done, total)
        for captions_batch in chunks(self._pending_captions(), size):  # asked anew: broken pictures took theirs along
            self._write_captions(captions_batch)
            done += len(captions_batch)
            self.tell("embedding captions", done, total)
        return total

    def _pending_pictures(self) -> list[Pending]:
        query = sa.select(Item.id, Item.root_id, Root.path, Item.path).join(Root, Root.id == Item.root_id)
        with self.catalog.session() as session:
            return [
                Pending(*row)
                for row in session.execute(query.where(*self._unembedded(Modality.IMAGE)).order_by(Item.id))
            ]

    def _pending_captions(self) -> list[tuple[int, str]]:
        query = sa.select(Caption.id, Caption.text).join(Item, Item.id == Caption.id)
        with self.catalog.session() as session:
            return [
                (row.id, row.text)
                for row in session.execute(query.where(*self._unembedded(Modality.TEXT)).order_by(Item.id))
            ]

    def _unembedded(self, modality: Modality) -> tuple[sa.ColumnElement[bool], ...]:
        done = sa.select(Embedding.id).where(Embedding.item_id == Item.id, Embedding.encoder_id == self.row.id)
        return Item.modality == modality, Item.removed_at.is_(None), ~done.exists()

    def _decoded(
        self, batches: Sequence[Sequence[Pending]]
    ) -> Iterator[tuple[Sequence[Pending], list[Decoded | MediaError]]]:
        """Each batch with its decoded pictures; decoding runs ahead by a few batches, in threads."""
        pool = ThreadPoolExecutor(self.config.media.decode_threads, "decode")
        window: deque[tuple[Sequence[Pending], list[Future[Decoded | MediaError]]]] = deque()
        try:
            for batch in batches:
                window.append((batch, [pool.submit(self._decode, item) for item in batch]))
                if len(window) > _WINDOW:
                    ready, futures = window.popleft()
                    yield ready, [future.result() for future in futures]
            for ready, futures in window:
                yield ready, [future.result() for future in futures]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _decode(self, item: Pending) -> Decoded | MediaError:
        settings = self.config.media
        try:
            at_least = max(settings.thumbnail_pixels, self.encoder.image_pixels)
            picture = decode_file(Path(item.root) / item.path, settings, at_least)
            save_thumbnail(self.config.home, picture.content_hash, picture.image, settings.thumbnail_pixels)
            prepared = self.encoder.prepare_image(picture.image)
        except MediaError as error:
            return error
        return Decoded(prepared, picture.width, picture.height, picture.content_hash)

    def _write_pictures(self, batch: Sequence[Pending], decoded: Sequence[Decoded | MediaError]) -> None:
        pairs = list(zip(batch, decoded, strict=True))
        good = [(item, facts) for item, facts in pairs if isinstance(facts, Decoded)]
        rows = self._append(self.encoder.encode_prepared([facts.input for _, facts in good])) if good else []
        with self.catalog.session() as session:
            self._insert(session, [item.id for item, _ in good], rows)
            for item, facts in pairs:
                if isinstance(facts, Decoded):
                    values = {
                        "width": facts.width,
                        "height": facts.height,
                        "content_hash": facts.content_hash,
                    }
                    session.execute(sa.update(Item).where(Item.id == item.id).values(**values))
                else:
                    self._fail(session, item, facts)

    def _write_captions(self, batch: Sequence[tuple[int, str]]) -> None:
        rows = self._append(self.encoder.encode_text([text for _, text in batch]))
        with self.catalog.session() as session:
            self._insert(session, [item_id for item_id, _ in batch], rows)

    def _append(self, vectors: F32) -> list[tuple[int, int]]:
        """Put vectors on the disk; their places. The catalog counts them only with the rows that point to them."""
        shards, rows = self.store.append(vectors)
        return list(zip(shards.tolist(), rows.tolist(), strict=True))

    def _insert(self, session: Session, ids: Sequence[int], places: Sequence[tuple[int, int]]) -> None:
        for item_id, (shard, row) in zip(ids, places, strict=True):
            session.add(Embedding(item_id=item_id, encoder_id=self.row.id, shard=shard, row=row))
        grown = sa.update(EncoderRow).where(EncoderRow.id == self.row.id)
        session.execute(grown.values(rows=EncoderRow.rows + len(ids)))

    @staticmethod
    def _fail(session: Session, item: Pending, error: MediaError) -> None:
        """The file leaves the library until it changes, with its captions, and its reason is kept."""
        gone = sa.update(Item).where(sa.or_(Item.id == item.id, Item.parent_id == item.id))
        session.execute(gone.where(Item.removed_at.is_(None)).values(removed_at=time.time()))
        record_failure(session, item.root_id, item.id, item.path, error)
