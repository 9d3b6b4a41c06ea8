"""An encoder for queries: it remembers what it has encoded, and encodes together what many threads ask at once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import xxhash
from PIL.Image import Image

from engine.encoders import Encoder
from engine.media.fitting import ImageInput
from engine.types import F32, U8, Modality

REMEMBERED = 4096  # queries of each kind: 8 MB at a width of 512
_TOGETHER = 256  # rows of one forward pass, at most

V = TypeVar("V")


class QueryEncoder:
    """An `Encoder` around another. Safe to share between threads, which share its forward passes too."""

    def __init__(self, inner: Encoder, remembered: int = REMEMBERED) -> None:
        self.inner, self.spec, self.fingerprint = inner, inner.spec, inner.fingerprint
        self.dims: Mapping[Modality, int] = inner.dims
        self.image_input: ImageInput = inner.image_input
        self._texts: _Gathered[str] = _Gathered(inner.encode_text, remembered)
        self._pixels: _Gathered[U8] = _Gathered(lambda pixels: inner.encode_pixels(np.stack(pixels)), remembered)

    def encode_text(self, texts: Sequence[str]) -> F32:
        return self._texts.rows(texts, texts)

    def pieces(self, word: str) -> int:
        return self.inner.pieces(word)

    def encode_pixels(self, pixels: U8) -> F32:
        return self._pixels.rows([xxhash.xxh3_128_digest(one.tobytes()) for one in pixels], pixels)

    def encode_images(self, images: Sequence[Image]) -> F32:
        return self.encode_pixels(np.stack([self.image_input.fit(image) for image in images]))


@dataclass(slots=True)
class _Asked(Generic[V]):
    """One query that waits for its row, or has it."""

    value: V
    row: F32 | None = None
    error: Exception | None = None

    @property
    def answered(self) -> bool:
        return self.row is not None or self.error is not None


class _Gathered(Generic[V]):
    """Rows by key, of which the last ones asked for are remembered.

    There is no thread and no delay: whoever gets the turn encodes all that waits then, and while it does, others gather
    for the next turn. Equal queries that wait are encoded once.
    """

    def __init__(self, encode: Callable[[Sequence[V]], F32], remembered: int) -> None:
        self._encode, self._most = encode, remembered
        self._guard, self._turn = threading.Lock(), threading.Lock()
        self._known: OrderedDict[Hashable, F32] = OrderedDict()
        self._waiting: dict[Hashable, _Asked[V]] = {}

    def rows(self, keys: Sequence[Hashable], values: Sequence[V] | Any) -> F32:
        """(n, d) of n values. Raises what the encoder raises."""
        asked = [self._ask(key, value) for key, value in zip(keys, values, strict=True)]
        rows = []
        for one in asked:
            while not one.answered:
                with self._turn:
                    if not one.answered:
                        self._encode_waiting()
            if one.error is not None:
                raise one.error
            rows.append(one.row)
        return np.stack([row for row in rows if row is not None])

    def _ask(self, key: Hashable, value: V) -> _Asked[V]:
        with self._guard:
            row = self._known.get(key)
            if row is not None:
                self._known.move_to_end(key)
                return _Asked(value, row)
            return self._waiting.setdefault(key, _Asked(value))

    def _encode_waiting(self) -> None:
        with self._guard:
            keys = list(self._waiting)[:_TOGETHER]
            batch = {key: self._waiting[key] for key in keys}
        try:
            rows = self._encode([asked.value for asked in batch.values()])
        except Exception as error:  # each that waits for it is told
            for asked in batch.values():
                asked.error = error
        else:
            for asked, row in zip(batch.values(), rows, strict=True):
                asked.row = row
        with self._guard:
            for key, asked in batch.items():
                del self._waiting[key]
                if asked.row is not None:
                    self._known[key] = asked.row
            while len(self._known) > self._most:
                self._known.popitem(last=False)
