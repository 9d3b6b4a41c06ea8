"""An item as a part of a query, as people write it: `12`, `2:12` (weighted), `12@10,20,50,40` (a part of it)."""

import re
from dataclasses import dataclass, replace
from typing import Self

from engine.errors import InvalidInput
from engine.types import Term

Region = tuple[int, int, int, int]

# A negative term at full weight overwhelms the words it qualifies: texts of one encoder lie close together.
NEGATIVE_WEIGHT = -0.5
_LARGEST_WEIGHT = 1000

_FORM = re.compile(
    r"(?:(?P<weight>-?\d{1,4}(?:\.\d{1,3})?):)?(?P<item>\d{1,18})(?:@(?P<region>\d{1,3},\d{1,3},\d{1,3},\d{1,3}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Likeness:
    """An item, how much it counts, and which part of its picture is meant.

    region: left, top, width and height in per cent of the picture; None for the whole item.
    """

    item: int
    weight: float = 1.0
    region: Region | None = None

    @classmethod
    def read(cls, text: str) -> Self:
        """What `str` writes. Raises InvalidInput for anything else."""
        found = _FORM.fullmatch(text)
        if not found or int(found["item"]) < 1:
            raise InvalidInput(f"like:{text[:60]} is no item: use the number in a picture's address, such as like:123")
        x, y, w, h = region = tuple(map(int, (found["region"] or "0,0,100,100").split(",")))
        if not (w and h and x + w <= 100 and y + h <= 100):
            raise InvalidInput(f"like:{text} is no part of the picture: left, top, width and height are per cent of it")
        if abs(weight := float(found["weight"] or 1)) > _LARGEST_WEIGHT:
            raise InvalidInput(f"like:{text} weighs too much: a weight is a number from -1000 to 1000")
        whole = region == (0, 0, 100, 100)
        return cls(int(found["item"]), weight, None if whole else (x, y, w, h))

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f"{self.weight:g}:"
        return f"{weight}{self.item}" + (f"@{','.join(map(str, self.region))}" if self.region else "")

    @property
    def negated(self) -> Self:
        """The same, pushed away from."""
        return replace(self, weight=round(NEGATIVE_WEIGHT * self.weight, 3))

    @classmethod
    def of(cls, term: Term) -> Self:
        """A term that is an item, weight aside. Its `term` is near the same: parts are whole per cent here."""
        assert term.item is not None
        if term.region is None:
            return cls(term.item)
        x, y, w, h = (round(100 * share) for share in term.region)
        return cls(term.item, region=(x, y, w, h))

    @property
    def term(self) -> Term:
        """The term to search with."""
        x, y, w, h = self.region or (0, 0, 0, 0)
        return Term(item=self.item, weight=self.weight, region=(x / 100, y / 100, w / 100, h / 100) if w else None)
