"""Adversarial objectives: a discriminator, which only training has, must not tell one thing from another."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.towers import Towers
from engine.types import Modality
from indexer.objectives import Batch, Objective, pairs_of, projected, weighted_mean
from indexer.objectives.ranking import Triplet, category_of_texts


class ModalityDiscriminator(Objective):
    """Adversarial cross-modal retrieval (ACMR, Wang et al. 2017, eq. 8): which modality a vector is of must not show.

    A classifier reads the modality from a joint vector (eq. 1); its gradient is reversed before it reaches the
    towers (Ganin & Lempitsky 2015). Beside it stand the paper's other two terms: triplets keep pairs together
    (eq. 5, here with the hardest wrong answers), and, where categories exist, a classifier must tell them from
    either modality's vectors (eq. 2).
    """

    def __init__(self, dim: int, categories: int, adversary: float = 0.05, label: float = 1.0) -> None:
        super().__init__()
        self.adversary, self.label, self.triplet = adversary, label, Triplet(by_category=True)
        self.discriminator = nn.Sequential(nn.Linear(dim, dim // 2), nn.GELU(), nn.Linear(dim // 2, 2))
        self.classifier = nn.Linear(dim, categories) if categories else None

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        images, texts = projected(aligner, batch)
        both = torch.cat([images, texts])
        truth = torch.arange(2, device=both.device).repeat_interleave(
            torch.tensor([len(images), len(texts)]).to(both.device)
        )
        share = torch.tensor([len(texts), len(images)], device=both.device) / len(both)  # each modality counts half
        told = F.cross_entropy(self.discriminator(Reversed.apply(both, self.adversary)), truth, weight=share)
        ranked = self.triplet.rank(images, texts, batch)["loss"]
        parts = {"ranked": ranked.detach(), "told": told.detach()}
        loss = ranked + told
        if self.classifier is not None and batch.categories is not None:
            category = torch.cat([batch.categories, category_of_texts(batch, batch.categories)])
            total = F.cross_entropy(self.classifier(both * 10), category, ignore_index=-1, reduction="sum")
            labelled = total / (category >= 0).sum().clamp(min=1)  # 0 for a batch of which nothing is known
            loss, parts["labelled"] = loss + self.label * labelled, labelled.detach()
        return {"loss": loss, **parts}


class FeatureGAN(Objective):
    """A conditional GAN of embeddings (Xian et al. 2018), its discriminator matching-aware (Reed et al. 2016, alg. 1).

    The generator is the text tower with its tail: from a text's code and noise it makes the image's standardized
    embedding. The discriminator must tell an image with its text from an image with another text and from a made one.
    Both descend at once; the discriminator's weights are held still in the generator's loss. `anchor` weighs the
    squared error of what is made without noise, as in conditional GANs from Isola et al. 2017 (eq. 4) on: search by
    translation looks there.
    """

    def __init__(self, code: int, image: int, width: int, noise: int = 32, adversary: float = 0.05) -> None:
        super().__init__()
        self.adversary = adversary
        self.noise = nn.Linear(noise, code, bias=False)  # a query has none
        self.discriminator = nn.Sequential(nn.Linear(image + code, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(aligner, Towers)
        texts, weights = pairs_of(batch)
        real = aligner.embed(batch.inputs[Modality.IMAGE], Modality.IMAGE)[batch.owner[texts]]  # (p, image)
        code = aligner.embed(batch.inputs[Modality.TEXT], Modality.TEXT)[texts]
        make = aligner.tails[Modality.TEXT]
        drawn = torch.randn(len(code), self.noise.in_features, device=code.device)
        made, plain = make(code + self.noise(drawn)), make(code)
        told = self._tell_apart(real, made.detach(), code.detach(), weights)
        fooled = F.softplus(-self._judge(made, code.detach(), still=True))
        error = 1 - F.cosine_similarity(plain, real)
        loss = weighted_mean(error + self.adversary * fooled[:, 0], weights) + told
        return {"loss": loss, "told": told.detach(), "fooled": fooled.detach().mean(), "error": error.detach().mean()}

    def _tell_apart(self, real: Tensor, made: Tensor, code: Tensor, weights: Tensor | None) -> Tensor:
        right, mismatched = self._judge(real, code), self._judge(real.roll(1, 0), code)
        wrong = (F.softplus(mismatched) + F.softplus(self._judge(made, code))) / 2
        return weighted_mean((F.softplus(-right) + wrong)[:, 0], weights)

    def _judge(self, image: Tensor, code: Tensor, still: bool = False) -> Tensor:
        weights = {name: w.detach() if still else w for name, w in self.discriminator.named_parameters()}
        out: Tensor = functional_call(self.discriminator, weights, (torch.cat([image, code], 1),))
        return out


class Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned around and scaled (Ganin & Lempitsky 2015, eq. 10)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None
