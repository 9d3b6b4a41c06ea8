"""Pairs for training a head: stored embeddings with their captions, without decoding anything again."""

from dataclasses import dataclass

from engine.types import F32, I64


@dataclass(frozen=True, slots=True)
class StoredPairs:
    """Pictures and their captions.

    images: (n, d_image) float32, as the encoder or an import gave them, not normalised again. texts: (m, d_text)
    embeddings of the captions, None when the encoder has none. words: the m captions themselves. owner: (m,) the row
    of each caption's picture. categories: (n,) from 0 on, -1 where none is known; None when the library has none.
    weights: (m,) how much each pair counts; 1 for captions, more for good marks. negatives: (k, 2) rows of a text and
    of a picture that a person called a bad answer to it.
    """

    images: F32
    texts: F32 | None
    words: tuple[str, ...]
    owner: I64
    categories: I64 | None
    weights: F32
    negatives: I64

    def __len__(self) -> int:
        return len(self.images)
