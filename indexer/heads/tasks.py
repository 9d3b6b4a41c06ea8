"""What a method is given to learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.config import HeadSettings
from indexer.heads.stored_pairs import StoredPairs


@dataclass(frozen=True, slots=True)
class TextsOf:
    """The text inputs of the pairs, as the aligner takes them: vectors (m, d) float32 or tokens (m, t) int64."""

    train: Tensor
    aside: Tensor


@dataclass(frozen=True, slots=True)
class Task:
    """One fit: the pairs, their text inputs, and how.

    aside: pictures that training set aside, by which a method that takes steps knows when to stop. What judges a head,
    the library's held-out pictures, no method sees. vocabulary: how many tokens there are, when texts are tokens; None
    for vectors. hear(figures, epoch, epochs).
    """

    train: StoredPairs
    aside: StoredPairs
    texts: TextsOf
    vocabulary: int | None
    settings: HeadSettings
    device: torch.device
    checkpoint: Path
    identity: str
    hear: Callable[[dict[str, float], int, int], None]
