"""Rows of a store that FAISS reads where they lie on the disk, to refine and to scan them without a copy."""

from typing import Any

import numpy as np

from engine.store import StoredRows
from engine.types import I32, I64, Bool
from engine.views import half_index, mapped_files


class MappedRows:
    """Rows by their numbers, which count from the first row of the store's first shard.

    index: FAISS's, of all rows up to the last of these. A position is a row's place among these, as elsewhere.
    table: the position of each number, or -1; None where these rows lie one after another.
    """

    def __init__(self, index: Any, numbers: I64) -> None:
        """numbers: of each position (n,), no two alike."""
        self.index, self._first, self._count = index, int(numbers[0]), len(numbers)
        self.table: I32 | None = None  # 4 bytes a row of the store, where its rows are not these, one after another
        if (np.diff(numbers) != 1).any():
            self.table = np.full(index.ntotal, -1, np.int32)
            self.table[numbers] = np.arange(self._count, dtype=np.int32)

    @classmethod
    def of(cls, rows: StoredRows) -> "MappedRows | None":
        """None where they cannot be read in place: rows of any length, none, or shards that the system cannot join.

        Raises OSError when a shard is gone.
        """
        store, numbers = rows.store, rows.numbers()
        if store.raw or not len(numbers) or len(np.unique(numbers)) < len(numbers):
            return None
        last, width = int(numbers.max()), 2 * store.dim
        shards = last // store.shard_rows + 1
        sizes = [width * min(store.shard_rows, last + 1 - shard * store.shard_rows) for shard in range(shards)]
        memory = mapped_files([store.path(shard) for shard in range(shards)], sizes)
        return None if memory is None else cls(half_index(memory, store.dim), numbers)

    def positions(self, numbers: I64) -> I64:
        """The position of each number; of a negative one, any."""
        if self.table is None:
            return np.maximum(numbers - self._first, 0)
        return self.table[numbers].astype(np.int64)

    def told(self, rows: Bool) -> Bool:
        """A mask of positions (n,) as one of numbers, of all rows of the index."""
        if self.table is not None:
            return (self.table >= 0) & rows[self.table]
        told = np.zeros(self.index.ntotal, np.bool_)
        told[self._first : self._first + self._count] = rows
        return told
