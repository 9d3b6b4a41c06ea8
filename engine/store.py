"""Append-only shards of float16 embeddings, one folder an encoder, read through memory maps.

A shard is raw little-endian float16, row after row. Rows are synced to the disk before the catalog's rows that
point to them commit; what lies past the last committed row is a killed run's and is cut off by `recover`. Beside each
shard lie the checksums of its rows, 8 bytes each, 0 for one that has none: earlier releases wrote none.
"""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import xxhash

from engine.artifacts import sync
from engine.errors import ArtifactError
from engine.types import F16, F32, I64, Array, Bool

if TYPE_CHECKING:
    import torch  # only when rows are read: it takes seconds to import

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
        for shard, some in _by_shard(shards):
            out[some] = _floats(self._map(shard, int(rows[some].max())).take(rows[some], axis=0))
        if self.raw:
            out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return out

    def scores(self, shards: I64, rows: I64, query: F32) -> F32:
        """Inner products (n,) of the embeddings at these places with a query (dim,)."""
        if self.raw:
            return np.asarray(self.read(shards, rows) @ query)
        parts = list(_by_shard(shards))
        found = half_scores([(self._map(shard, int(rows[some].max())), rows[some]) for shard, some in parts], query)
        if all(isinstance(some, slice) for _, some in parts):
            return found
        out = np.empty_like(found)
        out[np.argsort(shards, kind="stable")] = found
        return out

    def _map(self, shard: int, row: int) -> F16:
        """The shard's memory map, opened again when it has grown past what was mapped."""
        known = self._maps.get(shard)
        if known is None or len(known) <= row:
            there = self._rows(shard)
            if there <= row:
                raise ArtifactError(f"shard {self.path(shard)} has no row {row}: see `rebus doctor`")
            try:
                known = np.asarray(np.memmap(self.path(shard), "<f2", "r", shape=(there, self.dim)))
            except OSError as error:  # compaction may have taken it away this moment
                raise ArtifactError(f"shard {self.path(shard)} cannot be read: {error.strerror}") from None
            self._maps[shard] = known
        return known

    def size(self) -> int:
        """Bytes on the disk, with the checksums."""
        files = (path for shard in self.shards() for path in (self.path(shard), self.sums_path(shard)))
        return sum(path.stat().st_size for path in files if path.exists())


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
        self.store, self.shards, self.rows = store, shards, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: I64 | slice) -> F32:
        return self.store.read(self.shards[positions].astype(np.int64), self.rows[positions].astype(np.int64))

    def check(self) -> None:
        """Raise ArtifactError when a row lies past what the store holds."""
        last, whole = int(self.numbers().max(initial=-1)), self.store.whole_rows()
        if last >= whole:
            raise ArtifactError(f"row {last:,} of {self.store.folder} is wanted, which holds {whole:,}: `rebus doctor`")

    def numbers(self) -> I64:
        """Where each row (n,) lies, counted from the first of the first shard on."""
        return self.shards.astype(np.int64) * self.store.shard_rows + self.rows

    def scores(self, positions: I64, query: F32) -> F32:
        """Inner products (n,) of some of these rows with a query (dim,)."""
        return self.store.scores(self.shards[positions], self.rows[positions], query)

    @classmethod
    def none(cls, store: EmbeddingStore) -> "StoredRows":
        """No row of a store, to be extended."""
        return cls(store, np.empty(0, np.int32), np.empty(0, np.int32))

    def take(self, positions: I64) -> "StoredRows":
        """Some of these rows, still not read."""
        return StoredRows(self.store, self.shards[positions], self.rows[positions])

    def extended(self, other: "StoredRows") -> "StoredRows":
        """These rows followed by those of `other`, of the same store."""
        if not len(self):
            return other  # places that are memory-mapped stay so
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
        out: F32 = _floats(self.vectors[positions]).numpy()
        return out

    def scores(self, positions: I64, query: F32) -> F32:
        """Inner products (n,) of some of these rows with a query (dim,)."""
        return half_scores([(self.vectors, positions)], query)

    def take(self, positions: I64) -> "HeldRows":
        """Some of these rows."""
        return HeldRows(self.vectors[positions])

    def extended(self, other: Self) -> "HeldRows":
        """These rows followed by those of `other`."""
        return HeldRows(np.concatenate([self.vectors, other.vectors]))


def _by_shard(shards: I64) -> Iterator[tuple[int, slice | Bool]]:
    """Each shard with the rows asked of it: a slice where they are in order, else a mask (n,)."""
    steps = np.diff(shards)
    if (steps < 0).any():
        yield from ((int(shard), shards == shard) for shard in np.unique(shards))
    elif len(shards):
        bounds = [0, *(np.flatnonzero(steps) + 1).tolist(), len(shards)]
        yield from ((int(shards[start]), slice(start, stop)) for start, stop in zip(bounds, bounds[1:], strict=False))


def half_scores(parts: Sequence[tuple[F16, I64]], query: F32) -> F32:
    """Inner products of float16 rows with a float32 query (d,), summed in float32: of each part (rows, places) in turn.

    Rows are copied, block by block, to where the thread's last ones were: memory that is new each time costs a page
    fault for every few rows, which takes longer than all the rest.
    """
    import torch

    halves, floats = _DESK.of(len(query))
    asked, out = torch.from_numpy(query), torch.empty(sum(len(places) for _, places in parts))
    filled = done = 0
    for rows, places in parts:
        start = 0
        while start < len(places):
            some = places[start : start + _DESK.rows - filled]
            np.take(rows, some, axis=0, out=halves[filled : filled + len(some)], mode="clip")  # without another buffer
            start, filled = start + len(some), filled + len(some)
            if filled == _DESK.rows or done + filled == len(out):
                floats[:filled].copy_(torch.from_numpy(halves[:filled]))
                torch.mv(floats[:filled], asked, out=out[done : done + filled])
                filled, done = 0, done + filled
    scores: F32 = out.numpy()
    return scores


def _floats(rows: F16) -> "torch.Tensor":
    """Rows as float32, by torch: it converts eight numbers at a time, which takes NumPy ten times as long."""
    import torch

    return torch.from_numpy(rows).float()


class _Desk(threading.local):
    """A thread's space for rows on their way from float16 to float32, by their width."""

    rows = 512

    def __init__(self) -> None:
        self._known: dict[int, tuple[F16, torch.Tensor]] = {}

    def of(self, dim: int) -> "tuple[F16, torch.Tensor]":
        """Both (rows, dim)."""
        import torch

        if dim not in self._known:
            self._known[dim] = np.empty((self.rows, dim), np.float16), torch.empty((self.rows, dim))
        return self._known[dim]


_DESK = _Desk()
