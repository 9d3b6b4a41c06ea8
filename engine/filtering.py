"""How a filter is met in the index: by codes of the ids that it allows, or, when these are few, by all their vectors.

Which ids a filter allows, the catalog says exactly. A first stage over codes then passes over all others, one by one;
reading the vectors of a few thousand allowed ids takes less, and loses nothing.
"""

from dataclasses import dataclass

from engine.types import I64

# Codes of 256 bits that a selective scan goes past in the time that one row of 256 float16 is read and compared:
# 2.5 to 4 µs against 14 to 58 ns, on one thread of an AMD EPYC, over 200,000 and 1,000,000 rows.
_CODES_A_ROW = 128
# Rows that are scanned in place in the time that the cascade over hash codes takes anyway, and for each candidate: on
# one thread there, busy, 0.1 µs a row, where 1,000 candidates of 10,000 to 50,000 codes took 3 ms, and 300 1.5 ms.
_IN_PLACE, _IN_PLACE_A_CANDIDATE = 8_000, 20
_FEW = 128  # of so many ids one, up to which looking each up takes less than passing over all


@dataclass(frozen=True, slots=True)
class Filter:
    """The ids (n,) that may be found, in any order."""

    ids: I64

    def few(self, of: int) -> bool:
        """Whether it allows few of `of` ids, so that each is better looked up."""
        return len(self.ids) * _FEW < of


def scan_pays(where: Filter | None, indexed: int, candidates: int, *, in_place: bool = False) -> bool:
    """Whether comparing all vectors of the ids allowed is no more work than the cascade.

    indexed: codes that the first stage goes past. candidates: rows that the last one reads in any case. in_place: the
    vectors are read where they lie, as `PlacedRows.in_place` says.
    """
    allowed = indexed if where is None else len(where.ids)
    if in_place:
        return allowed <= _IN_PLACE + _IN_PLACE_A_CANDIDATE * candidates
    return where is not None and allowed <= candidates + indexed // _CODES_A_ROW
