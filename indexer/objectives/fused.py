"""Fusion objectives: everything known of an item, together, must find what else is said of it."""

import torch
from torch import Tensor

from engine.aligners import Aligner
from engine.aligners.fusion import Fusion
from engine.types import Modality
from indexer.objectives import Batch, pairs_of
from indexer.objectives.ranking import InfoNCE


class FusedNCE(InfoNCE):
    """InfoNCE (see ranking.py) of single modalities, and of items fused from several.

    Where an image has two captions in a batch, the image fused with one must be found by the other (composed
    retrieval, Vo et al. 2019, eq. 2), and the image alone by both as a set: so one aligner learns to read what there
    is, and a missing modality stays usual. `fused` weighs these two against the first.
    """

    def __init__(self, fused: float = 0.25) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(aligner, Fusion)
        parts = super().forward(aligner, batch)
        first, second = couples(batch)
        if len(first) < 2:
            return parts
        images, texts = batch.inputs[Modality.IMAGE][batch.owner[first]], batch.inputs[Modality.TEXT]
        alone = Batch({}, torch.arange(len(first), device=batch.owner.device))
        both = aligner.fuse({Modality.IMAGE: images, Modality.TEXT: texts[first]})
        composed = self.rank(both, aligner.project(texts[second], Modality.TEXT), alone)["loss"]
        sets = aligner.project(torch.stack([texts[first], texts[second]], 1), Modality.TEXT)
        described = self.rank(aligner.project(images, Modality.IMAGE), sets, alone)["loss"]
        loss = parts["loss"] + self.fused * (composed + described)
        return {**parts, "loss": loss, "composed": composed.detach(), "described": described.detach()}


def couples(batch: Batch) -> tuple[Tensor, Tensor]:
    """Rows of the first and the second text of each image that two describe in the batch: (k,) and (k,)."""
    rows, _ = pairs_of(batch)
    order = rows[batch.owner[rows].argsort(stable=True)]
    ranked = batch.owner[order]
    starts = torch.ones_like(ranked, dtype=torch.bool)
    starts[1:] = ranked[1:] != ranked[:-1]
    paired = (starts[:-1] & ~starts[1:]).nonzero()[:, 0]
    return order[paired], order[paired + 1]
