"""Rows of a store that FAISS reads where they lie on the disk, to refine and to scan them without a copy."""

from typing import Any

import numpy as np

from engine.store import HeldRows, StoredRows
from engine.types import I64, Array, Bool
from engine.views import half_index, joined_rows, mapped_files

_COPIED = 4  # of so many rows one may be copied into memory, since it shares its place with another


class MappedRows:
    """Rows by their numbers, which count from the first row of the store's first shard.

    Items of equal content share a row of the store; all but the first of them have copies here, behind the shards.
    index: FAISS's, of all rows up to the last of these. A position is a row's place among these, as elsewhere.
    numbers: ascending, with the position of each in `order`; None where they, or positions, lie one after another.
    """

    def __init__(self, index: Any, numbers: I64) -> None:
        """numbers: of each position (n,), no two alike."""
        self.index, self._first, self._count = index, int(numbers[0]), len(numbers)
        self.copied = 0  # bytes of rows that are in memory
        self.numbers: Array | None = None  # 4 bytes a row, where rows are not all those between the first and the last
        self.order: Array | None = None  # 4 more, where they lie in another order
        steps = np.diff(numbers)
        if (steps != 1).any():
            kind = np.int32 if index.ntotal < 2**31 else np.int64
            if (steps < 0).any():
                self.order = np.argsort(numbers).astype(kind)
                numbers = numbers[self.order]
            self.numbers = numbers.astype(kind)

    @classmethod
    def of(cls, rows: StoredRows | HeldRows) -> "MappedRows | None":
        """None where they cannot be read in place: rows of any length, none, or shards that the system cannot join.

        None, too, where many share a row. Raises OSError when a shard is gone. Rows in memory lie in place there.
        """
        if not len(rows):
            return None
        if isinstance(rows, HeldRows):
            held = np.ascontiguousarray(rows.vectors)
            return cls(half_index(held.view(np.uint8).ravel(), held.shape[1]), np.arange(len(held)))
        store, numbers = rows.store, rows.numbers()
        if store.raw:
            return None
        shared = _shared(numbers)
        if len(shared) * _COPIED > len(numbers):
            return None
        last, width = int(numbers.max()), 2 * store.dim
        shards = last // store.shard_rows + 1
        sizes = [width * min(store.shard_rows, last + 1 - shard * store.shard_rows) for shard in range(shards)]
        paths = [store.path(shard) for shard in range(shards)]
        if not len(shared):
            memory = mapped_files(paths, sizes)
            return None if memory is None else cls(half_index(memory, store.dim), numbers)
        joined = joined_rows(paths, sizes, rows[shared].astype("<f2"))
        if joined is None:
            return None
        memory, start = joined
        numbers[shared] = start + np.arange(len(shared))
        mapped = cls(half_index(memory, store.dim), numbers)
        mapped.copied = width * len(shared)
        return mapped

    def by_position(self) -> I64:
        """The number of each position (n,)."""
        if self.numbers is None:
            return np.arange(self._first, self._first + self._count)
        if self.order is None:
            return self.numbers.astype(np.int64)
        out = np.empty(self._count, np.int64)
        out[self.order] = self.numbers
        return out

    def positions(self, numbers: I64) -> I64:
        """The position of each number; of a negative one, any."""
        if self.numbers is None:
            return np.maximum(numbers - self._first, 0)
        places = np.searchsorted(self.numbers, numbers.astype(self.numbers.dtype))
        return places if self.order is None else self.order[places].astype(np.int64)

    def told(self, rows: Bool) -> Bool:
        """A mask of positions (n,) as one of numbers, of all rows of the index."""
        told = np.zeros(self.index.ntotal, np.bool_)
        if self.numbers is None:
            told[self._first : self._first + self._count] = rows
        else:
            told[self.numbers[rows if self.order is None else rows[self.order]]] = True
        return told


def _shared(numbers: I64) -> I64:
    """Positions whose number stands at an earlier one, too."""
    order = np.argsort(numbers, kind="stable")
    return np.sort(order[1:][np.diff(numbers[order]) == 0])
