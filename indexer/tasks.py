"""What a method is given to learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.config import HeadSettings
from indexer.stored_pairs import StoredPairs


@dataclass(frozen=True, slots=True)
class TextsOf:
    """The text inputs of the pairs, as the aligner takes them: vectors (m, d) float32 or tokens (m, t) int64."""

    train: Tensor
    held_out: Tensor


@dataclass(frozen=True, slots=True)
class Task:
    """One fit: the pairs, their text inputs, and how. A method learns from `train` and stops by `held_out` alone.

    vocabulary: how many tokens there are, when texts are tokens; None for vectors. hear(figures, epoch, epochs).
    """

    train: StoredPairs
    held_out: StoredPairs
    texts: TextsOf
    vocabulary: int | None
    settings: HeadSettings
    device: torch.device
    checkpoint: Path
    identity: str
    hear: Callable[[dict[str, float], int, int], None]
