"""Objectives: what trains an aligner. Each owns the parameters that only training needs."""

from dataclasses import dataclass

from torch import Tensor, nn

from engine.aligners import Aligner
from engine.types import Modality


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs by modality, and for each text the row of the image it describes: owner (m,) int64."""

    inputs: dict[Modality, Tensor]
    owner: Tensor


class Objective(nn.Module):
    """`forward(aligner, batch)` gives the scalar "loss" to descend, and its parts for the log."""

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        """{"loss": (), …}"""
        raise NotImplementedError
