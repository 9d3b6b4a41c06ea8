"""Embed what has no embedding yet: files are decoded beside the encoder's work, in a bounded window; then written.

Vectors are on the disk before their rows commit, batch by batch, so a kill at any point loses only the batch under way.
Batches are cut from files in the order of their ids: a run that was killed and started again forms the same batches as
one that was not.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, Root, chunks, is_scanned
from engine.config import Config
from engine.decoding import Decoded, DecoderPool, Wanted
from engine.encoders import Encoder, portable_spec
from engine.errors import DriveGone, MediaError
from engine.media import modality_of
from engine.media.files import TAR
from engine.types import Modality
from indexer.bundled import kept
from indexer.changes import place_in
from indexer.found import file_of
from indexer.jobs import JobReport
from indexer.roots import looks_mounted
from indexer.write import Encoding, FileRow, Writer

_WINDOW = 3  # batches decoded ahead of the encoder
_WEIGHTS = {Modality.IMAGE: 1, Modality.TEXT: 1, Modality.AUDIO: 1, Modality.VIDEO: 32}  # of memory, in pictures
SEEN = (Modality.IMAGE, Modality.VIDEO)  # modalities whose frames the image tower encodes


@dataclass(slots=True)
class _Batch:
    """Files decoded and waiting for the encoder together."""

    files: list[tuple[FileRow, Decoded | MediaError]] = field(default_factory=list)
    frames: int = 0


def register_encoder(catalog: Catalog, encoder: Encoder, report: dict[str, object] | None = None) -> EncoderRow:
    """The encoder's row, made when it is new here. Of the one that comes with Rebus, the library keeps a copy."""
    spec = portable_spec(catalog.home, kept(catalog.home, encoder.spec))
    with catalog.session() as session:
        row = session.scalar(sa.select(EncoderRow).where(EncoderRow.fingerprint == encoder.fingerprint))
        if row is None:
            row = EncoderRow(fingerprint=encoder.fingerprint, dim=encoder.dims[Modality.TEXT], report=report or {})
            session.add(row)
        row.spec = spec
        return row


def pending(catalog: Catalog, encoder_id: int) -> list[int]:
    """Ids of all present items that need work: files never read or without an embedding, words without one.

    Without files that were written or moved since they were compared: a scan tells first which item each is now.
    """
    unread, unembedded = _wanting(encoder_id)
    words = sa.and_(Item.modality == Modality.TEXT, unembedded)
    query = sa.select(Item.id, Item.parent_id, Item.path, Item.size, Item.mtime_ns, Root.path.label("root"))
    query = query.join(Root, Root.id == Item.root_id).where(sa.or_(unread, words)).order_by(Item.id)
    with catalog.session() as session:
        return [row.id for row in session.execute(query) if row.parent_id is not None or _is_as_known(row)]


def _is_as_known(file: sa.Row[Any]) -> bool:
    """Whether a file is where it was and was not written since. In a tar, or on a drive, reading tells."""
    place = place_in(file.root, file.path)
    try:
        facts = file_of(file.path, os.lstat(place))
    except (FileNotFoundError, NotADirectoryError):
        return TAR in place.lower() or not looks_mounted(Path(file.root))
    except OSError:
        return True
    return (facts.size, facts.mtime_ns) == (file.size, file.mtime_ns)


def _wanting(encoder_id: int) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """What makes a present file want reading, and what makes any item want an embedding."""
    done = sa.select(Embedding.id).where(Embedding.item_id == Item.id, Embedding.encoder_id == encoder_id)
    unseen = sa.and_(Item.modality.in_(SEEN), ~done.exists())
    unread = sa.and_(Item.parent_id.is_(None), sa.or_(Item.content_hash.is_(None), unseen))
    return sa.and_(_present(), unread), sa.and_(_present(), ~done.exists())


def _present() -> sa.ColumnElement[bool]:
    return sa.and_(Item.removed_at.is_(None), is_scanned())


class Embedder:
    """Embeds files and words with one encoder, as a pool of decoders reads them.

    again: read files, too, that were read and embedded before.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: Config,
        encoder: Encoder,
        job: JobReport,
        pool: DecoderPool,
        *,
        again: bool = False,
    ) -> None:
        self.catalog, self.config, self.job = catalog, config, job
        self.row = register_encoder(catalog, encoder)
        self.writer = Writer(catalog, config, self.row, encoder)
        self._pool, self._again = pool, again
        pool.wanted = Wanted(encoder.image_input, str(config.home), config.media.thumbnail_pixels)

    @property
    def embedded(self) -> int:
        """Items given an embedding so far."""
        return self.writer.embedded

    def embed(self, ids: Sequence[int]) -> Iterator[int]:
        """Embed these items: the files first, then all their words. Yields how many files each batch finished."""
        words = list[int]()
        for batch in self._encoded(self._batches(self._files(ids))):
            words += self.writer.files(batch)
            failed, read = len(batch.files) - len(batch.good), sum(decoded.bytes for _, decoded in batch.good)
            self.job.count(files=len(batch.files), failed=failed, bytes=read)
            yield len(batch.files)
        for some in chunks(self._words([*ids, *words]), self.config.encoder.batch_size):
            self.writer.words(some)
            yield 0

    def _encoded(self, batches: Iterator[_Batch]) -> Iterator[Encoding]:
        """Each batch, while the next one is encoded already: writing rows does not keep the encoder waiting."""
        begun: Encoding | None = None
        try:
            for batch in batches:
                ready, begun = begun, self.writer.encode(batch.files)
                if ready:
                    yield ready
            if begun:
                yield begun
        finally:
            if begun:
                begun.vectors.cancel()

    def _files(self, ids: Sequence[int]) -> list[FileRow]:
        """Those of the ids that are present files and are to be read, by id."""
        query = sa.select(Item.id, Item.root_id, Root.path, Item.path, Item.mtime_ns, Item.modality)
        wanting = sa.and_(_present(), Item.parent_id.is_(None)) if self._again else _wanting(self.row.id)[0]
        query = query.join(Root, Root.id == Item.root_id).where(wanting)
        found: list[FileRow] = []
        with self.catalog.session() as session:
            for some in chunks(sorted(set(ids)), 500):
                found += [FileRow(*row) for row in session.execute(query.where(Item.id.in_(some)))]
        return sorted(found, key=lambda file: file.id)

    def _words(self, ids: Sequence[int]) -> list[tuple[int, str]]:
        """Those of the ids that are present words without an embedding, with their text, by id."""
        query = sa.select(Caption.id, Caption.text).join(Item, Item.id == Caption.id).where(_wanting(self.row.id)[1])
        found: list[tuple[int, str]] = []
        with self.catalog.session() as session:
            for some in chunks(sorted(set(ids)), 500):
                found += [(row.id, row.text) for row in session.execute(query.where(Caption.id.in_(some)))]
        return sorted(found)

    def _batches(self, files: Sequence[FileRow]) -> Iterator[_Batch]:
        """Decoded files, by as many as make a full batch of frames; a file is never divided."""
        batch = _Batch()
        for file, decoded in self._decoded(files):
            if isinstance(decoded, MediaError) and decoded.stage == "read" and not looks_mounted(Path(file.root)):
                raise DriveGone(
                    f"{file.root} is gone while its files were being read. Nothing that was finished is lost: "
                    "mount it again, and run the same command"
                )
            batch.files.append((file, decoded))
            batch.frames += len(decoded.frames) if isinstance(decoded, Decoded) else 0
            if batch.frames >= self.config.encoder.batch_size:
                yield batch
                batch = _Batch()
        if batch.files:
            yield batch

    def _decoded(self, files: Sequence[FileRow]) -> Iterator[tuple[FileRow, Decoded | MediaError]]:
        """Each file with its outcome, in order; decoding runs ahead by a few batches' worth of memory."""
        window: deque[tuple[FileRow, int, Future[Decoded | MediaError]]] = deque()
        ahead, most = 0, _WINDOW * max(self.config.encoder.batch_size, max(_WEIGHTS.values()))
        for file in files:
            weight = _WEIGHTS[modality_of(file.path) or Modality.IMAGE]
            while window and ahead + weight > most:
                first, its_weight, future = window.popleft()
                ahead -= its_weight
                yield first, future.result()
            window.append((file, weight, self._pool.submit(Path(file.root, file.path))))
            ahead += weight
        for first, _, future in window:
            yield first, future.result()
