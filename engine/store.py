"""Append-only shards of float16 embeddings, one folder an encoder, read through memory maps.

A shard is raw little-endian float16, row after row. Rows are synced to the disk before the catalog's rows that
point to them commit; what lies past the last committed row is a killed run's and is cut off by `recover`. Beside each
shard lie the checksums of its rows, 8 bytes each, 0 for one that has none: earlier releases wrote none.
"""

from pathlib import Path
from typing import Self

import numpy as np
import xxhash

from engine.artifacts import sync
from engine.errors import ArtifactError
from engine.types import F16, F32, I64, Array

SHARD_ROWS, SUFFIX, SUMS = 1 << 18, ".f16", ".sums"
SUM_BYTES = 8


def row_bytes(dim: int) -> int:
    """What a row of this width takes on the disk, with its checksum."""
    return 2 * dim + SUM_BYTES


def store_folder(home: Path, fingerprint: str, generation: int = 0) -> Path:
    """Where the embeddings of an encoder lie; compaction writes a next generation."""
    name = fingerprint[:16]
    return home / "embeddings" / (f"{name}-{generation}" if generation else name)


class EmbeddingStore:
    """The shards of one encoder. One writer at a time (the library's lock); any number of readers.

    raw: rows have any length, as a feature library's do, and are made unit rows as they are read; rows of zeros stay.
    summed: write checksums of rows; an artifact's manifest has them already.
    """

    def __init__(
        self, folder: Path, dim: int, shard_rows: int = SHARD_ROWS, *, raw: bool = False, summed: bool = True
    ) -> None:
        self.folder, self.dim, self.shard_rows, self.raw, self.summed = folder, dim, shard_rows, raw, summed
        self._maps: dict[int, F16] = {}

    def path(self, shard: int) -> Path:
        """The file of a shard, whether or not it is there."""
        return self.folder / f"{shard:06d}{SUFFIX}"

    def sums_path(self, shard: int) -> Path:
        """The file of a shard's checksums, whether or not it is there."""
        return self.path(shard).with_suffix(SUMS)

    def _rows(self, shard: int) -> int:
        path = self.path(shard)
        return path.stat().st_size // (2 * self.dim) if path.exists() else 0

    def whole_rows(self) -> int:
        """How many rows can be read from the first on: up to the first shard that is missing or not full."""
        total = 0
        for shard in self.shards():
            rows = self._rows(shard)
            if total != shard * self.shard_rows:
                break
            total += min(rows, self.shard_rows)
        return total

    def shards(self) -> list[int]:
        """Numbers of the shards on the disk, ascending."""
        return sorted(int(path.stem) for path in self.folder.glob(f"*{SUFFIX}"))

    def recover(self, rows: int) -> None:
        """Cut off what lies past the first `rows` rows, the number the catalog has committed.

        Raises ArtifactError when fewer are there.
        """
        full, rest = divmod(rows, self.shard_rows)
        expected = {shard: self.shard_rows for shard in range(full)} | ({full: rest} if rest else {})
        for shard in sorted({*self.shards(), *expected}):
            have, want = self._rows(shard), expected.get(shard, 0)
            if have < want:
                raise ArtifactError(
                    f"shard {self.path(shard)} holds {have} rows, the catalog counts {want}: "
                    "`rebus doctor --repair` embeds again what is lost, or restore a backup"
                )
            _cut(self.path(shard), want * 2 * self.dim)
            _cut(self.sums_path(shard), want * SUM_BYTES)

    def append(self, vectors: F32) -> tuple[I64, I64]:
        """Write rows (n, dim) as float16, synced; return their shards (n,) and rows (n,)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        shard = max(self.shards(), default=0)
        where: list[tuple[int, int]] = []
        start = 0
        while start < len(vectors):
            used = self._rows(shard)
            if used >= self.shard_rows:
                shard, used = shard + 1, 0
            part = np.ascontiguousarray(vectors[start : start + self.shard_rows - used], dtype="<f2")
            with self.path(shard).open("ab") as file:
                file.write(part.tobytes())
            sync(self.path(shard))
            if self.summed:
                self._write_sums(shard, np.arange(used, used + len(part)), part)
            where += [(shard, used + i) for i in range(len(part))]
            start += len(part)
        sync(self.folder)
        located = np.array(where, np.int64).reshape(-1, 2)
        return located[:, 0], located[:, 1]

    def altered(self, shards: I64, rows: I64) -> tuple[Array, Array]:
        """Which of the rows at these places (n,) are not what was written; and which have no checksum to tell by."""
        changed, unknown = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        for shard in np.unique(shards):
            chosen = np.flatnonzero(shards == shard)
            wanted = self._sums(int(shard), int(rows[chosen].max()))[rows[chosen]]
            found = _sums_of(self._map(int(shard), int(rows[chosen].max()))[rows[chosen]])
            unknown[chosen] = wanted == 0
            changed[chosen] = (wanted != 0) & (wanted != found)
        return changed, unknown

    def seal(self, shards: I64, rows: I64) -> None:
        """Write the checksums of rows that have none: what they are now counts as what was written."""
        for shard in np.unique(shards):
            chosen = rows[shards == shard]
            self._write_sums(int(shard), chosen, self._map(int(shard), int(chosen.max()))[chosen])

    def _write_sums(self, shard: int, rows: I64, vectors: F16) -> None:
        """Put the checksums of these rows at their places, synced."""
        path = self.sums_path(shard)
        path.touch()
        sums = _sums_of(vectors)
        with path.open("r+b") as file:
            for some in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
                file.seek(int(rows[some[0]]) * SUM_BYTES)
                file.write(sums[some].tobytes())
        sync(path)

    def _sums(self, shard: int, row: int) -> Array:
        """The checksums of a shard, at least up to a row; 0 where there is none."""
        path = self.sums_path(shard)
        found = np.fromfile(path, "<u8") if path.exists() else np.empty(0, "<u8")
        return np.pad(found, (0, max(0, row + 1 - len(found))))

    def rows(self) -> int:
        """How many rows the shards hold."""
        return sum(self._rows(shard) for shard in self.shards())

    def read(self, shards: I64, rows: I64) -> F32:
        """The embeddings (n, dim) at these places, as float32."""
        out = np.empty((len(rows), self.dim), np.float32)
        for shard in np.unique(shards):
            chosen = shards == shard
            out[chosen] = self._map(int(shard), int(rows[chosen].max()))[rows[chosen]]
        if self.raw:
            out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return out

    def _map(self, shard: int, row: int) -> F16:
        """The shard's memory map, opened again when it has grown past what was mapped."""
        known = self._maps.get(shard)
        if known is None or len(known) <= row:
            there = self._rows(shard)
            if there <= row:
                raise ArtifactError(f"shard {self.path(shard)} has no row {row}: see `rebus doctor`")
            try:
                known = np.memmap(self.path(shard), "<f2", "r", shape=(there, self.dim))
            except OSError as error:  # compaction may have taken it away this moment
                raise ArtifactError(f"shard {self.path(shard)} cannot be read: {error.strerror}") from None
            self._maps[shard] = known
        return known

    def size(self) -> int:
        """Bytes on the disk, without the checksums."""
        return sum(self.path(shard).stat().st_size for shard in self.shards())


def _sums_of(vectors: F16) -> Array:
    """The checksum (n,) of each row, never 0: XXH3 over its bytes."""
    return np.array([xxhash.xxh3_64_intdigest(row.tobytes()) or 1 for row in vectors], "<u8")


def _cut(path: Path, size: int) -> None:
    """Cut off what lies past these bytes, and with none the file; synced."""
    if size == 0:
        path.unlink(missing_ok=True)
    elif path.exists() and path.stat().st_size > size:
        with path.open("r+b") as file:
            file.truncate(size)
        sync(path)


class StoredRows:
    """A lazy (n, dim) array: rows of a store by their places. Indexing reads them as float32."""

    def __init__(self, store: EmbeddingStore, shards: Array, rows: Array) -> None:
        self.store, self.shards, self.rows = store, np.asarray(shards, np.int32), np.asarray(rows, np.int32)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: I64 | slice) -> F32:
        return self.store.read(self.shards[positions].astype(np.int64), self.rows[positions].astype(np.int64))

    def check(self) -> None:
        """Raise ArtifactError when a row lies past what the store holds."""
        flat = self.shards.astype(np.int64) * self.store.shard_rows + self.rows
        last, whole = int(flat.max(initial=-1)), self.store.whole_rows()
        if last >= whole:
            raise ArtifactError(f"row {last:,} of {self.store.folder} is wanted, which holds {whole:,}: `rebus doctor`")

    @classmethod
    def none(cls, store: EmbeddingStore) -> "StoredRows":
        """No row of a store, to be extended."""
        return cls(store, np.empty(0), np.empty(0))

    def take(self, positions: I64) -> "StoredRows":
        """Some of these rows, still not read."""
        return StoredRows(self.store, self.shards[positions], self.rows[positions])

    def extended(self, other: Self) -> "StoredRows":
        """These rows followed by those of `other`, of the same store."""
        return StoredRows(
            self.store, np.concatenate([self.shards, other.shards]), np.concatenate([self.rows, other.rows])
        )


class HeldRows:
    """A (n, dim) array in memory: float16 as a store has them, read as float32, so that both score alike."""

    def __init__(self, vectors: F32 | F16) -> None:
        self.vectors: F16 = vectors.astype(np.float16)

    @classmethod
    def none(cls, dim: int) -> "HeldRows":
        """No row of this width, to be extended."""
        return cls(np.empty((0, dim), np.float16))

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, positions: I64 | slice) -> F32:
        return self.vectors[positions].astype(np.float32)

    def take(self, positions: I64) -> "HeldRows":
        """Some of these rows."""
        return HeldRows(self.vectors[positions])

    def extended(self, other: Self) -> "HeldRows":
        """These rows followed by those of `other`."""
        return HeldRows(np.concatenate([self.vectors, other.vectors]))
