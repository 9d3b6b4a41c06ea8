"""Ranking objectives: a pair should score above the other pairs of its batch."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.types import Modality
from indexer.objectives import Batch, Objective


class InfoNCE(Objective):
    """The symmetric contrastive loss of CLIP (Radford et al. 2021; van den Oord et al. 2018, eq. 4).

    An image may have several captions in a batch: each is a pair of its own, and its siblings are left out of
    that pair's negatives.
    """

    def __init__(self, temperature: float = 0.07, max_scale: float = 100.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.max_scale = max_scale

    @property
    def scale(self) -> Tensor:
        """The inverse temperature, which is learned and bounded."""
        return self.log_scale.exp().clamp(max=self.max_scale)

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        images = aligner.project(batch.inputs[Modality.IMAGE], Modality.IMAGE)  # (n, d)
        texts = aligner.project(batch.inputs[Modality.TEXT], Modality.TEXT)  # (m, d)
        owner = batch.owner.to(texts.device)
        to_images = self.scale * texts @ images.T  # (m, n)
        to_texts = to_images.T[owner]  # (m, m): row j is text j's image against every text
        siblings = owner[:, None] == owner[None, :]
        siblings.fill_diagonal_(False)
        to_texts = to_texts.masked_fill(siblings, float("-inf"))
        text_to_image = F.cross_entropy(to_images, owner)
        image_to_text = F.cross_entropy(to_texts, torch.arange(len(texts), device=texts.device))
        loss = (text_to_image + image_to_text) / 2
        return {
            "loss": loss,
            "text_to_image": text_to_image.detach(),
            "image_to_text": image_to_text.detach(),
        }
