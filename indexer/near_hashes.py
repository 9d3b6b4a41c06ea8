"""Perceptual hashes within a few bits of each other, found without comparing all with all.

By the pigeonhole principle, two words of 64 bits that differ in at most `bits` differ in at most bits // 4 in one of
their four bands of 16 bits. Each band has a table of all its 65,536 values; a query looks up its own value and those
a flip or so away. Measured on one core, all pairs within 6 bits among 200,000 hashes: these tables 1.5 s, bands of 9
and 10 bits that must be equal 2.2 s, FAISS's IndexBinaryMultiHash (the same idea) 10 s, its IndexBinaryFlat 15 s,
its IndexBinaryHash minutes. And they stop at any number of pairs, where FAISS returns all of a block at once.
"""

from collections.abc import Iterator

import numpy as np

from engine.types import I64, U64, Array

_BANDS, _VALUES = 4, 1 << 16
_LOOKUPS = 1 << 20  # hashes compared at once: bounds the memory when many are equal
_QUERIES = 4096


class NearHashes:
    """Tables over hashes (n,) of 64 bits, to find those within `bits` of others."""

    def __init__(self, hashes: U64, bits: int) -> None:
        self.hashes, self.bits = hashes, bits
        self._flips = np.flatnonzero(np.bitwise_count(np.arange(_VALUES, dtype=np.uint32)) <= bits // _BANDS)
        self._tables = [_table(_band(hashes, band)) for band in range(_BANDS)]

    def pairs(self, queries: U64) -> Iterator[tuple[I64, I64]]:
        """Positions of queries and of hashes within `bits` of them, in parts; a pair may come more than once."""
        step = max(1, _QUERIES // len(self._flips))
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            for band, (order, starts) in enumerate(self._tables):
                values = _band(part, band)[:, None] ^ self._flips
                first, count = starts[values].ravel(), (starts[values + 1] - starts[values]).ravel()
                owners = start + np.repeat(np.arange(len(part)), len(self._flips))
                for a, b in _portions(count):
                    yield self._compare(queries, owners[a:b], order, first[a:b], count[a:b])

    def _compare(self, queries: U64, owners: I64, order: I64, first: Array, count: Array) -> tuple[I64, I64]:
        """Of each lookup, its run of `count` hashes from `first` on: those near enough."""
        asked = np.repeat(owners, count)
        within = np.arange(len(asked)) - np.repeat(np.cumsum(count) - count, count)
        found = order[np.repeat(first, count) + within]
        near = np.bitwise_count(queries[asked] ^ self.hashes[found]) <= self.bits
        return asked[near], found[near]


def _band(hashes: U64, band: int) -> I64:
    return ((hashes >> np.uint64(16 * band)) & np.uint64(_VALUES - 1)).astype(np.int64)


def _table(values: I64) -> tuple[I64, I64]:
    """Positions in the order of their values, and where each value's run begins."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(values, minlength=_VALUES))])
    return np.argsort(values.astype(np.uint16), kind="stable"), starts


def _portions(count: Array) -> Iterator[tuple[int, int]]:
    """Runs of lookups that find no more than _LOOKUPS together, or a single one that finds more."""
    ends, start = np.cumsum(count), 0
    while start < len(count):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _LOOKUPS, side="right")))
        yield start, stop
        start = stop
