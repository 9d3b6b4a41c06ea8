"""What is served now: the version whose turn it is, with what was embedded since, and without what was removed.

Another process commits rows, and this one reads them: nothing else passes between the two.
"""

import dataclasses
import logging
import threading

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, IndexVersion, Item
from engine.errors import ArtifactError, NothingWhole
from engine.types import Modality
from engine.versions import Version, embeddings_after, rows_by_modality

_OVERLAP_S = 600.0  # removals are read again this far back: their transactions may commit late, and repeats are free

log = logging.getLogger(__name__)


@dataclasses.dataclass(slots=True)
class _Seen:
    """How far a version has followed the catalog: its last embedding, and its last removal with how many of late."""

    embedding: int
    removal: float = 0.0
    removals: int = 0


class Live:
    """A version and its delta, kept up to date. Safe to share between threads.

    A search takes `version` once and keeps it to its end: refreshing puts another in its place, and changes none but
    for the masks of what was removed.
    """

    def __init__(self, catalog: Catalog, device: str) -> None:
        """device: where indexes are searched, as search.device says."""
        self.catalog, self.device = catalog, device
        self.version: Version | None = None
        self.changes = 0  # how often what is served became another
        self._lock = threading.Lock()
        self._refused: dict[tuple[int, float], str] = {}
        self._told: set[str] = set()
        self._seen = _Seen(0)

    def refresh(self) -> bool:
        """Swap to the version whose turn it is; take in rows and removals committed since. True when anything changed.

        A version whose files are not whole is passed over, and the one served before it goes on. Raises NothingWhole
        when none is left.
        """
        with self._lock:
            version = self._chosen()
            if version is None:
                return False
            swapped = version is not self.version
            seen = _Seen(version.watermark) if swapped else self._seen
            removed = self._take_out(version, seen)
            version, added = self._take_in(version, seen)
            self.version, self._seen = version, seen  # after all: a failure on the way leaves what is served as it is
            changed = swapped or added or removed
            self.changes += changed
            return changed

    def _chosen(self) -> Version | None:
        """The version to serve, loaded: the present one while it is its turn."""
        while True:
            rows = self.catalog.versions()
            row = next((row for row in rows if _key(row) not in self._refused), None)
            if row is None and self.version is None and rows:
                refused, self._refused = self._refused, {}  # the next refresh tries them again: they may be mended
                raise NothingWhole(refused[_key(rows[0])])
            if row is None:
                return self._left() if self.version and not rows else self.version
            if self.version is not None and (self.version.id, self.version.published_at) == _key(row):
                return self.version
            try:
                return Version.load(self.catalog, row).placed(self.device)
            except ArtifactError as error:
                if _key(row) in map(_key, self.catalog.versions()):  # else it was replaced and dropped in this moment
                    self._refused[_key(row)] = str(error)
                    self._tell(f"version {row.id} is passed over: {error}")

    def _tell(self, said: str) -> None:
        """Into the log once: what stays damaged is tried again at each look."""
        if said not in self._told:
            self._told.add(said)
            log.warning("%s", said)

    def _left(self) -> Version | None:
        """What goes on after the last version was dropped, as all its items were forgotten: one of nothing as yet."""
        assert self.version is not None
        with self.catalog.session() as session:
            encoder = session.get(EncoderRow, self.version.encoder_id)
        if encoder is None or (self.version.id, self.version.generation) == (0, encoder.generation):
            return self.version
        return Version.of_nothing(self.catalog, encoder)

    def _take_in(self, version: Version, seen: _Seen) -> tuple[Version, bool]:
        found = embeddings_after(self.catalog, version.encoder_id, seen.embedding, version.generation)
        if not found:
            return version, False
        whole = version.store.whole_rows()
        there = [row for row in found if row.shard * version.store.shard_rows + row.row < whole]
        if len(there) < len(found):
            log.warning("%d embeddings lie past the end of their shards: run `rebus doctor`", len(found) - len(there))
        indexes = dict(version.indexes)
        for modality, (ids, embeddings) in rows_by_modality(version.store, there).items():
            if modality is Modality.TEXT and version.head.texts is not None:
                continue  # such a head reads all words anew when the next version is built
            rows = version.projected(embeddings, modality)
            known = indexes.get(modality) or version.empty_index(rows)  # a kind new since the version was built
            indexes[modality] = known.with_rows(ids, rows)
        seen.embedding = found[-1].id
        return dataclasses.replace(version, indexes=indexes), bool(there)

    def _take_out(self, version: Version, seen: _Seen) -> bool:
        recent = Item.removed_at > seen.removal - _OVERLAP_S
        with self.catalog.session() as session:
            count, last = session.execute(sa.select(sa.func.count(), sa.func.max(Item.removed_at)).where(recent)).one()
            if count == seen.removals and (last or seen.removal) == seen.removal:
                return False  # these read an index alone, and nearly always they are the same
            gone = list(session.execute(sa.select(Item.id, Item.removed_at).where(recent)))
        seen.removal = max((row.removed_at for row in gone), default=seen.removal)
        seen.removals = sum(row.removed_at > seen.removal - _OVERLAP_S for row in gone)
        ids = np.array([row.id for row in gone], np.int64)
        return sum(index.delete(ids) for index in version.indexes.values()) > 0


def _key(row: IndexVersion) -> tuple[int, float]:
    """A version's identity: a library that is restored from a backup may give a number again."""
    return row.id, row.published_at
