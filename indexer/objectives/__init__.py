"""Objectives: what trains an aligner. Each owns the parameters that only training needs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.aligners import Aligner
from engine.types import Modality


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs by modality, and for each text the row of the image it describes: owner (m,) int64.

    Several texts may share an image, and an image may have none: then it is there as a wrong answer. weights: (m,)
    how much each text's pair counts, None for 1 each; 0 for a text that describes no image of the batch. negatives:
    (k, 2) int64, the rows of a text and of an image that a person called a bad answer to it. categories: (n,) int64
    of the images, -1 where none is known.
    """

    inputs: dict[Modality, Tensor]
    owner: Tensor
    weights: Tensor | None = None
    negatives: Tensor | None = None
    categories: Tensor | None = None


class Objective(nn.Module):
    """`forward(aligner, batch)` gives the scalar "loss" to descend, and its parts for the log."""

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        """{"loss": (), …}"""
        raise NotImplementedError

    def measure(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        """What this objective has to say of pairs it does not learn from now: scalars by name; nothing by default."""
        return {}


def projected(aligner: Aligner, batch: Batch) -> tuple[Tensor, Tensor]:
    """The batch in the joint space: images (n, d) and texts (m, d), unit rows."""
    image, text = batch.inputs[Modality.IMAGE], batch.inputs[Modality.TEXT]
    return aligner.project(image, Modality.IMAGE), aligner.project(text, Modality.TEXT)


def pairs_of(batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The rows (p,) of the texts that describe their image, and the weights (p,) of these pairs."""
    if batch.weights is None:
        return torch.arange(len(batch.owner), device=batch.owner.device), None
    rows = (batch.weights > 0).nonzero()[:, 0]
    return rows, batch.weights[rows]


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of values (m,) by weights (m,)."""
    return values.mean() if weights is None else (values * weights).sum() / weights.sum()
