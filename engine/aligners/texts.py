"""What an aligner reads of words when no encoder gives it embeddings of them: learned from a library's captions.

A tokenizer (of the tokenizers library, byte-pair merges learned from the captions) is shared by both kinds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor


class TextInput:
    """Turns words into an aligner's input for text. `shape`: the JSON values that `load` needs beside its files."""

    kind: ClassVar[str]
    shape: dict[str, Any]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Vectors (n, width) float32 of unit length, or tokens (n, t) int64 where 0 pads."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write what `load` reads, as files of a head's folder whose names begin with `text`."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path, shape: dict[str, Any]) -> Self:
        """Read what `save` wrote. Raises ArtifactError."""
        raise NotImplementedError
