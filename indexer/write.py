"""Write what was decoded and encoded: vectors first, then, in one transaction, everything that points to them."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, chunks
from engine.config import Config
from engine.decoding import Decoded, DecodedFrame
from engine.encoders import Encoder
from engine.errors import MediaError
from engine.store import EmbeddingStore, store_folder
from engine.types import F32, Modality
from indexer.captions import Owner, Words, save_facts, sync_words
from indexer.changes import insert_items, mark_removed
from indexer.failures import forget_failures, record_failure

_ROW_BYTES = 1500  # what an item takes in the catalog, about

# Statements of every batch, made once and of plain rows: SQLAlchemy took longer to make them, and to follow mapped
# objects through them, than SQLite to run them.
_ITEMS: sa.Table = Item.__table__  # type: ignore[assignment]
_EMBEDDINGS: sa.Table = Embedding.__table__  # type: ignore[assignment]
_ENCODERS: sa.Table = EncoderRow.__table__  # type: ignore[assignment]
_GROWN = sa.update(_ENCODERS).where(_ENCODERS.c.id == sa.bindparam("encoder")).values(rows=sa.bindparam("count"))
_DROPPED = sa.delete(_EMBEDDINGS).where(
    _EMBEDDINGS.c.encoder_id == sa.bindparam("encoder"), _EMBEDDINGS.c.item_id.in_(sa.bindparam("ids", expanding=True))
)
_PLACES = (
    sa.select(_ITEMS.c.id, _ITEMS.c.content_hash, _ITEMS.c.position, _EMBEDDINGS.c.shard, _EMBEDDINGS.c.row)
    .join(_EMBEDDINGS, _EMBEDDINGS.c.item_id == _ITEMS.c.id)
    .where(_EMBEDDINGS.c.encoder_id == sa.bindparam("encoder"), _ITEMS.c.modality != Modality.TEXT)
    .where(_ITEMS.c.content_hash.in_(sa.bindparam("hashes", expanding=True)))
)
_FRAMES = sa.select(_ITEMS.c.id, _ITEMS.c.parent_id, _ITEMS.c.position, _ITEMS.c.removed_at).where(
    _ITEMS.c.parent_id.in_(sa.bindparam("files", expanding=True)), _ITEMS.c.modality != Modality.TEXT
)
_READ = ("content_hash", "modality", "width", "height", "phash", "position")  # what reading a file says of its item
_UPDATED = sa.update(_ITEMS).where(_ITEMS.c.id == sa.bindparam("item")).values({n: sa.bindparam(n) for n in _READ})
Place = tuple[int, int]  # shard, row
Key = tuple[str, int]  # content hash, position


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file's item that waits to be read."""

    id: int
    root_id: int
    root: str
    path: str
    mtime_ns: int
    modality: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """A batch whose new contents are being encoded. good: files that could be read. places: of contents known before.

    kept: items whose embedding stays as it is. fresh: the new contents; vectors (n, dim): theirs, in this order.
    """

    files: Sequence[tuple[FileRow, Decoded | MediaError]]
    good: Sequence[tuple[FileRow, Decoded]]
    places: dict[Key, Place]
    kept: frozenset[int]
    fresh: tuple[Key, ...]
    vectors: Future[F32]


class Vectors:
    """The embeddings by one encoder: rows on the disk, then their places, with what they belong to, in the catalog."""

    def __init__(self, catalog: Catalog, row: EncoderRow) -> None:
        self.row = row
        self.store = EmbeddingStore(store_folder(catalog.home, row.fingerprint, row.generation), row.dim)
        self.store.recover(row.rows)

    def append(self, vectors: F32) -> list[Place]:
        """Put vectors on the disk; their places. The catalog counts them only with the rows that point to them."""
        shards, rows = self.store.append(vectors)
        return list(zip(shards.tolist(), rows.tolist(), strict=True))

    def insert(self, session: Session, embeddings: Sequence[tuple[int, Place]]) -> None:
        """Say where the embeddings of items lie, instead of where they lay, and count all rows on the disk."""
        connection = session.connection()
        connection.execute(_GROWN, {"encoder": self.row.id, "count": self.store.rows()})
        if not embeddings:
            return
        for some in chunks([item_id for item_id, _ in embeddings], 500):
            connection.execute(_DROPPED, {"encoder": self.row.id, "ids": some})
        rows = [{"item_id": i, "encoder_id": self.row.id, "shard": s, "row": r} for i, (s, r) in embeddings]
        connection.execute(sa.insert(_EMBEDDINGS), rows)


class Writer:
    """Writes what one encoder makes of files and words.

    written: bytes put on the disk so far, about. embedded: items given an embedding so far.
    """

    def __init__(self, catalog: Catalog, config: Config, row: EncoderRow, encoder: Encoder) -> None:
        self.catalog, self.config, self.row, self.encoder = catalog, config, row, encoder
        self.vectors = Vectors(catalog, row)
        self.written = self.embedded = 0
        self._threads = ThreadPoolExecutor(2, "encode-batch")  # the last parts of a batch leave no core idle
        self._begun: tuple[Key, ...] = ()  # new contents of the batch that was begun last
        self._written_last: dict[Key, Place] = {}  # where those of the batch before it lie

    def encode(self, files: Sequence[tuple[FileRow, Decoded | MediaError]]) -> Encoding:
        """Begin to encode a batch beside the caller's own work: at most one batch ahead of what `files` wrote."""
        good = [(file, decoded) for file, decoded in files if isinstance(decoded, Decoded)]
        places, kept = _known_places(self.catalog, self.row.id, {decoded.content_hash for _, decoded in good})
        fresh: dict[Key, DecodedFrame] = {}
        for _, decoded in good:
            for frame in decoded.frames:
                key = decoded.content_hash, frame.position
                if key not in places and key not in self._begun:
                    fresh.setdefault(key, frame)
        self._begun = tuple(fresh)
        return Encoding(
            files, good, places, kept, self._begun, self._threads.submit(self._vectors, list(fresh.values()))
        )

    def files(self, batch: Encoding) -> list[int]:
        """Write a batch; frames whose content is embedded already share its vector. Ids of the words to embed."""
        good, vectors = batch.good, batch.vectors.result()
        new = dict(zip(batch.fresh, self._append(vectors), strict=True)) if len(vectors) else {}
        places = {**self._written_last, **batch.places, **new}
        self._written_last = new
        with self.catalog.session() as session:
            frames = _frames(session, good)
            _update_items(session, good)
            embeddings = [
                (frames[file.id, frame.position], places[decoded.content_hash, frame.position])
                for file, decoded in good
                for frame in decoded.frames
                if frames[file.id, frame.position] not in batch.kept
            ]
            self.vectors.insert(session, embeddings)
            words = _write_words(session, self.config.captions.languages[0], good, frames)
            for file, decoded in batch.files:
                if isinstance(decoded, MediaError):
                    _fail(session, file, decoded)
                else:
                    save_facts(session, file.id, decoded.facts, (), over=False)
        self.embedded += len(embeddings)
        self.written += sum(frame.thumbnail + _ROW_BYTES for _, decoded in good for frame in decoded.frames)
        return words

    def words(self, words: Sequence[tuple[int, str]]) -> None:
        """Embed and write a batch of words, as (item id, text)."""
        places = self._append(self.encoder.encode_text([text for _, text in words]))
        with self.catalog.session() as session:
            self.vectors.insert(session, list(zip([i for i, _ in words], places, strict=True)))
        self.embedded += len(words)

    def _vectors(self, frames: Sequence[DecodedFrame]) -> F32:
        parts = [
            self.encoder.encode_pixels(np.stack([frame.pixels for frame in some]))
            for some in chunks(frames, self.config.encoder.batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.row.dim), np.float32)

    def _append(self, vectors: F32) -> list[Place]:
        self.written += 2 * vectors.size
        return self.vectors.append(vectors)


def _known_places(catalog: Catalog, encoder_id: int, hashes: set[str]) -> tuple[dict[Key, Place], frozenset[int]]:
    """Where the frames of contents that are embedded already lie, and which items have these embeddings."""
    with catalog.reading() as connection:
        found = connection.execute(_PLACES, {"encoder": encoder_id, "hashes": list(hashes)}).all()
    places = {(row.content_hash, row.position or 0): (row.shard, row.row) for row in found}
    return places, frozenset(row.id for row in found)


def _frames(session: Session, good: Sequence[tuple[FileRow, Decoded]]) -> dict[tuple[int, int], int]:
    """The item of each frame by file and position: made, revived, or, when the file has it no more, removed."""
    found = session.connection().execute(_FRAMES, {"files": [file.id for file, _ in good]})
    have = {(row.parent_id, row.position): row for row in found}
    ids: dict[tuple[int, int], int] = {}
    made: list[dict[str, Any]] = []
    revived: list[int] = []
    for file, decoded in good:
        for number, frame in enumerate(decoded.frames):
            row = have.pop((file.id, frame.position), None)
            if number == 0:
                ids[file.id, frame.position] = file.id
            elif row is None:
                made.append(_frame_row(file, decoded, frame))
            else:
                ids[file.id, frame.position] = row.id
                revived.append(row.id)
    for facts, item_id in zip(made, insert_items(session, made), strict=True):
        ids[facts["parent_id"], facts["position"]] = item_id
    if revived:
        session.execute(sa.update(Item).where(Item.id.in_(revived)).values(removed_at=None))
    gone = [row.id for row in have.values() if row.removed_at is None]
    if gone:
        session.execute(sa.update(Item).where(Item.id.in_(gone)).values(removed_at=time.time()))
    return ids


def _frame_row(file: FileRow, decoded: Decoded, frame: DecodedFrame) -> dict[str, Any]:
    return {
        "root_id": file.root_id,
        "parent_id": file.id,
        "modality": file.modality,
        "path": file.path,
        "folder": file.path.rpartition("/")[0],
        "position": frame.position,
        "size": 0,
        "mtime_ns": file.mtime_ns,
        "content_hash": decoded.content_hash,
        "phash": frame.phash,
        "width": frame.width,
        "height": frame.height,
    }


def _update_items(session: Session, good: Sequence[tuple[FileRow, Decoded]]) -> None:
    changes: list[dict[str, Any]] = []
    for file, decoded in good:
        values: dict[str, Any] = {"item": file.id, "content_hash": decoded.content_hash, "modality": decoded.modality}
        values |= {"width": None, "height": None, "phash": None, "position": None}
        if decoded.frames:
            first = decoded.frames[0]
            values |= {"width": first.width, "height": first.height, "phash": first.phash}
            values["position"] = first.position if len(decoded.frames) > 1 else first.position or None
        changes.append(values)
    if changes:
        session.connection().execute(_UPDATED, changes)


def _write_words(
    session: Session, lang: str, good: Sequence[tuple[FileRow, Decoded]], frames: dict[tuple[int, int], int]
) -> list[int]:
    """The words inside the files. A document's words describe themselves; others describe their frame."""
    wanted, touched = [], []
    for file, decoded in good:
        owner = Owner(file.id, file.root_id, file.path, file.mtime_ns)
        if decoded.modality == Modality.TEXT and decoded.passages:
            first, *rest = decoded.passages
            touched += _write_document(session, file.id, first.text, lang)
            wanted.append((owner, [Words(one.text, lang, one.source, None, one.position) for one in rest]))
        else:
            words = [
                Words(
                    one.text,
                    _language(one.lang, lang),
                    one.source,
                    frames.get((file.id, one.position), file.id),
                    one.position or None,
                )
                for one in decoded.passages
            ]
            wanted.append((owner, words))
    return touched + sync_words(session, wanted, inside=True)


def _language(code: str, usual: str) -> str:
    """What words are kept under: the code that is written with them; the usual one for none, or a region of it."""
    code = code.lower()
    return usual if not code or code.partition("-")[0] == usual.lower() else code


def _write_document(session: Session, item_id: int, text: str, lang: str) -> list[int]:
    """The first words of a document are the file's item itself."""
    row = session.get(Caption, item_id)
    if row is None:
        session.add(Caption(id=item_id, owner_id=item_id, text=text, lang=lang, source="text"))
    elif row.text != text:
        row.text = text
    return [item_id]


def _fail(session: Session, file: FileRow, error: MediaError) -> None:
    """The file leaves the library until it changes, with its captions, and its reason is kept."""
    mark_removed(session, [file.id])
    forget_failures(session, [file.id])
    record_failure(session, file.root_id, file.id, file.path, error)
