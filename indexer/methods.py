"""Every way to learn a head, by name: what it is, where it is from, and the one call that fits it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.aligners import Aligner
from engine.config import HeadSettings
from indexer.class_heads import kernel_ridge_head, semantic
from indexer.closed_heads import CCA, FACTORS, RIDGE
from indexer.stored_pairs import StoredPairs
from indexer.train import TrainingReport


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


@dataclass(frozen=True, slots=True)
class Method:
    """A way to learn. family: its file in objectives/. source: paper and equation. aligner: the query-time shape.

    needs_categories: it learns from categories, not only from pairs. fit: (task) to the aligner and its report.
    """

    name: str
    family: str
    source: str
    aligner: str
    fit: Callable[[Task], tuple[Aligner, TrainingReport]]
    needs_categories: bool = False


_CLOSED_FORMS = (
    Method("ridge", "closed_form", "Hoerl and Kennard 1970", "linear", RIDGE),
    Method(
        "kernel-ridge",
        "closed_form",
        "Saunders et al. 1998; Zhang et al. 2007",
        "linear",
        kernel_ridge_head,
    ),
    Method("cca", "closed_form", "Hotelling 1936; Vinod 1976; Gong et al. 2014", "linear", CCA),
    Method("semantic", "closed_form", "Rasiwasia et al. 2010", "linear", semantic, needs_categories=True),
    Method("matrix-factorization", "closed_form", "Singh and Gordon 2008", "linear", FACTORS),
)

METHODS: dict[str, Method] = {method.name: method for method in _CLOSED_FORMS}
