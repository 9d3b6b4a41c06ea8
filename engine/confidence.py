"""How sure a search may be: the probability that what some words ask for is in the library at all.

A version is calibrated when it is published (indexer/calibration.py): by how near the library's own words come to the
nearest picture, and how near they come when everything like their own picture is taken away. A version that is not
calibrated has no confidence.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from engine.catalog import Catalog, IndexVersion
from engine.encoders import Encoder
from engine.types import F32

LIKELY, UNLIKELY = 0.6, 0.3
_AGAIN_S = 1.0
CERTAIN = 1.0  # the words themselves stand there
_UNREAD = 0.5  # at most, of what is no word to the encoder: its cosines mean nothing
_PIECES, _A_LETTER = 3, 0.6  # from which on a word is spelled out: see DESIGN.md for what this tells apart
_A_LETTER_OF_MANY = 0.5  # and several words together, of which none is one piece


@dataclass(frozen=True, slots=True)
class Calibration:
    """P(there) = 1 / (1 + exp(-(cosine * a + log(words) * b + c))): few words come less near to anything than many.

    queries: how many it was fitted to; pictures: among how many; auc: how well it told queries apart that it was not
    fitted to. most: no confidence is above it.
    """

    cosine: float
    log_words: float
    bias: float
    queries: int
    pictures: int
    auc: float
    most: float = 1.0

    def confidences(self, cosines: F32, words: int) -> F32:
        """The probability for each cosine (n,) of a query of so many words; NaN for NaN."""
        z = self.cosine * cosines + self.log_words * math.log(max(1, words)) + self.bias
        out: F32 = (1 / (1 + np.exp(-np.clip(z, -60, 60)))).astype(np.float32)
        return np.minimum(out, np.float32(self.most))

    def for_words(self, words: Sequence[str], encoder: Encoder) -> Self:
        """The calibration for a query of these words: of such as the encoder cannot read, none is likely."""
        return replace(self, most=_UNREAD) if _unreadable(words, encoder) else self

    def facts(self) -> dict[str, float]:
        """As JSON values; `read` takes them again."""
        return {name: value for name, value in asdict(self).items() if name != "most"}

    @classmethod
    def read(cls, facts: Mapping[str, Any] | None) -> Self | None:
        """What `facts` wrote; None for none, or of another release."""
        try:
            return None if facts is None else cls(**facts)
        except TypeError:
            return None


class Calibrations:
    """The calibration of each version, read once it is there, or now and then. Safe to share between threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._lock = catalog, threading.Lock()
        self._known: dict[tuple[int, float], Calibration] = {}
        self._missed: tuple[tuple[int, float], float] | None = None  # which had none, and until when that holds

    def of(self, version: int, published_at: float) -> Calibration | None:
        """The calibration of a version; None while it has none."""
        with self._lock:
            known, missed = self._known.get((version, published_at)), self._missed
        if missed is not None and missed[0] == (version, published_at) and time.monotonic() < missed[1]:
            return None
        if known is None:
            with self._catalog.session() as session:
                row = session.get(IndexVersion, version)
            known = Calibration.read(row.calibration) if row and row.published_at == published_at else None
            with self._lock:
                if known is None:
                    self._missed = (version, published_at), time.monotonic() + _AGAIN_S
                else:
                    self._known = {(version, published_at): known}
        return known


def _unreadable(words: Sequence[str], encoder: Encoder) -> bool:
    """Whether words of Latin letters are to the encoder hardly more than these: each, as `xqzvbn`, or all together."""
    if not words or not all(word.isascii() and word.isalpha() for word in words):
        return False
    pieces, letters = [encoder.pieces(word) for word in words], [len(word) for word in words]
    if all(few >= max(_PIECES, _A_LETTER * many) for few, many in zip(pieces, letters, strict=True)):
        return True
    return len(words) > 1 and min(pieces) > 1 and sum(pieces) >= max(_PIECES, _A_LETTER_OF_MANY * sum(letters))


def band(confidence: float | None) -> str | None:
    """A confidence in a word: likely, unsure or unlikely."""
    if confidence is None:
        return None
    return "likely" if confidence >= LIKELY else "unlikely" if confidence < UNLIKELY else "unsure"
