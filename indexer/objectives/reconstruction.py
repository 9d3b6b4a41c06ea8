"""Reconstruction objectives: a code of the joint space must hold enough to give either modality's embedding again.

All reconstruct standardized inputs (see engine/aligners/readers.py), of vectors alone, by mean squared error. Each
text of a batch is a pair with its image; those that are none are left out.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.decoders import Codebook, Decoder
from engine.aligners.towers import Towers
from engine.types import Modality
from indexer.objectives import Batch, Objective, pairs_of, weighted_mean

_EPSILON = 1e-6


class Reconstruction(Objective):
    """What the family shares: a decoder for each modality, pairs, and the gap between training and held-out pairs."""

    def __init__(self, code: int, width: int, outs: dict[Modality, int]) -> None:
        super().__init__()
        self.decoders = nn.ModuleDict({str(modality): Decoder(code, width, out) for modality, out in outs.items()})

    def pairs(
        self, aligner: Aligner, batch: Batch
    ) -> tuple[dict[Modality, Tensor], dict[Modality, Tensor], Tensor | None]:
        """Codes (p, code) and standardized inputs (p, d) of each pair, by modality, and the pairs' weights (p,).

        What a batch lacks is left out.
        """
        assert isinstance(aligner, Towers)
        texts, weights = pairs_of(batch)
        codes, targets = {}, {}
        for modality, x in batch.inputs.items():
            rows = texts
            if modality is Modality.IMAGE:
                rows = batch.owner[texts] if Modality.TEXT in batch.inputs else torch.arange(len(x), device=x.device)
            codes[modality] = aligner.embed(x, modality)[rows]
            targets[modality] = aligner.readers[modality].standardize(x)[rows]  # type: ignore[operator]
        return codes, targets, weights

    def error(self, code: Tensor, targets: dict[Modality, Tensor], weights: Tensor | None) -> Tensor:
        """The squared error of all that is decoded from codes (m, code), each modality a mean over its columns."""
        errors = [(self.decoders[m](code) - target).square().mean(1) for m, target in targets.items()]
        return weighted_mean(torch.stack(errors).sum(0), weights)

    @torch.no_grad()
    def measure(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        """ "reconstruction": the error of each modality's code on both modalities, without noise."""
        codes, targets, weights = self.pairs(aligner, batch)
        errors = [self.error(self.settled(code), targets, weights) for code in codes.values()]
        return {"reconstruction": torch.stack(errors).mean()}

    def settled(self, code: Tensor) -> Tensor:
        """What is decoded when nothing is drawn at random: the code itself."""
        return code


class CorrespondenceAutoencoder(Reconstruction):
    """The full-modal correspondence autoencoder (Feng et al. 2014, eq. 6): either code gives both inputs again.

    `correlation` is that paper's alpha: how much nearness of a pair's codes counts against reconstruction. Codes are
    compared after each column's batch normalisation, since otherwise small codes alone would bring them near, and
    their columns are kept uncorrelated (Barlow twins, Zbontar et al. 2021, eq. 1), since otherwise one would do.
    """

    def __init__(
        self, code: int, width: int, outs: dict[Modality, int], correlation: float = 0.8, redundancy: float = 0.01
    ) -> None:
        super().__init__(code, width, outs)
        self.correlation, self.redundancy = correlation, redundancy

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        codes, targets, weights = self.pairs(aligner, batch)
        error = torch.stack([self.error(code, targets, weights) for code in codes.values()]).sum()
        if len(codes) < 2:
            return {"loss": error, "reconstruction": error.detach()}
        near = self.correspondence(codes[Modality.IMAGE], codes[Modality.TEXT], weights)
        loss = (1 - self.correlation) * error + self.correlation * near
        return {"loss": loss, "reconstruction": error.detach(), "correspondence": near.detach()}

    def correspondence(self, a: Tensor, b: Tensor, weights: Tensor | None = None) -> Tensor:
        """How far the correlations of two codes' columns (p, code), weighted by pair, are from the identity."""
        share = (a.new_ones(len(a)) if weights is None else weights)[:, None]
        share = share / share.sum()
        correlations = (share * _standard(a, share)).T @ _standard(b, share)
        own = correlations.diagonal()
        others = correlations.square().sum() - own.square().sum()
        return ((1 - own).square().sum() + self.redundancy * others) / len(own)


class VariationalAutoencoder(Reconstruction):
    """The multimodal variational autoencoder (Wu & Goodman 2018): posteriors multiply, in any subset of modalities.

    A modality's posterior is a normal around its code; that of several is their product with the prior N(0, 1)
    (eq. 4). The evidence lower bound (eq. 2) is summed over every subset of those present (eq. 5), with `beta`
    before the divergence. Each subset gives back all that is present, not only itself: that is what makes a text's
    code say something of its image. noise: the variance of what is decoded, in units of the standardized inputs.
    """

    def __init__(self, code: int, width: int, outs: dict[Modality, int], beta: float = 1.0, noise: float = 0.5) -> None:
        super().__init__(code, width, outs)
        self.beta, self.noise = beta, noise
        self.log_variances = nn.ModuleDict({str(modality): nn.Linear(code, code) for modality in outs})

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        codes, targets, weights = self.pairs(aligner, batch)
        columns = sum(target.shape[1] for target in targets.values()) / len(targets)
        errors, divergences = [], []
        for subset in ([m] for m in codes), [list(codes)] if len(codes) > 1 else []:
            for present in subset:
                mean, variance = self.posterior({m: codes[m] for m in present})
                drawn = mean + variance.sqrt() * torch.randn_like(mean)
                errors.append(self.error(drawn, targets, weights))
                divergences.append(weighted_mean(divergence(mean, variance), weights) / columns)
        error, distance = torch.stack(errors).mean(), torch.stack(divergences).mean()
        loss = error / (2 * self.noise) + self.beta * distance
        return {"loss": loss, "reconstruction": error.detach(), "divergence": distance.detach()}

    def posterior(self, codes: dict[Modality, Tensor]) -> tuple[Tensor, Tensor]:
        """Mean and variance (m, code) of the product of what each modality says and the prior."""
        precision: Tensor | float = 1.0
        weighted: Tensor | float = 0.0
        for modality, code in codes.items():
            own = (-self.log_variances[modality](code).clamp(-8, 8)).exp()
            precision, weighted = precision + own, weighted + own * code
        assert isinstance(precision, Tensor)
        return weighted / precision, 1 / precision


class VectorQuantizedAutoencoder(Reconstruction):
    """A multimodal VQ-VAE (van den Oord et al. 2017, eq. 3): both modalities fall to the codes of one table.

    Gradients pass straight through the quantisation; codes follow the moving average of what falls to them (appendix
    A.1), and one that nothing falls to is put where something is (Williams et al. 2020). Either modality's quantized
    code gives both inputs again; each commits itself to its own codes and to its pair's. groups: at most so many equal
    parts of a code, as many as divide both it and this.
    """

    def __init__(
        self,
        code: int,
        width: int,
        outs: dict[Modality, int],
        groups: int = 32,
        size: int = 128,
        commitment: float = 0.25,
        decay: float = 0.98,
    ) -> None:
        super().__init__(code, width, outs)
        self.book, self.commitment, self.decay = Codebook(code, math.gcd(code, groups), size), commitment, decay
        self.counts: Tensor
        self.sums: Tensor
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.book.codes.clone())

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        codes, targets, weights = self.pairs(aligner, batch)
        if self.training:
            self.follow(torch.cat([self.book.parts(code.detach()) for code in codes.values()]))
        quantized = {modality: self.book(code) for modality, code in codes.items()}
        straight = [code + (quantized[m] - code).detach() for m, code in codes.items()]
        error = torch.stack([self.error(code, targets, weights) for code in straight]).sum()
        apart = [(code - other.detach()).square().mean(1) for code in codes.values() for other in quantized.values()]
        committed = weighted_mean(torch.stack(apart).mean(0), weights)
        return {
            "loss": error + self.commitment * len(apart) * committed,
            "reconstruction": error.detach(),
            "committed": committed.detach(),
            "perplexity": self.perplexity(torch.cat([self.book.nearest(code) for code in codes.values()])),
        }

    def settled(self, code: Tensor) -> Tensor:
        out: Tensor = self.book(code)
        return out

    @torch.no_grad()
    def measure(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        codes, *_ = self.pairs(aligner, batch)
        chosen = torch.cat([self.book.nearest(code) for code in codes.values()])
        return {**super().measure(aligner, batch), "perplexity": self.perplexity(chosen)}

    def perplexity(self, chosen: Tensor) -> Tensor:
        """How many codes are used, as the exponential of the entropy of the rows chosen (k,)."""
        share = torch.bincount(chosen, minlength=len(self.counts)) / len(chosen)
        return (-(share * (share + 1e-10).log()).sum()).exp()

    @torch.no_grad()
    def follow(self, parts: Tensor) -> None:
        """Move each code to the average of the parts (k, width) that fall to it, and the unused ones to some part.

        In float32 whatever autocast says: an average that moves by a fiftieth of what is new stands still in bfloat16.
        """
        with torch.autocast(parts.device.type, enabled=False):
            parts = parts.float()
            chosen = F.one_hot(torch.cdist(parts, self.book.codes).argmin(1), len(self.counts)).float()
            count, total = chosen.sum(0), chosen.T @ parts
        self.counts.lerp_(count, 1 - self.decay)
        self.sums.lerp_(total, 1 - self.decay)
        dead = self.counts < 0.01 * self.counts.mean()
        some = parts[torch.randint(len(parts), (int(dead.sum()),), device=parts.device)]
        average = self.counts.mean()
        self.counts[dead], self.sums[dead] = average, some * average
        self.book.codes.copy_(self.sums / self.counts.clamp(min=_EPSILON)[:, None])


def divergence(mean: Tensor, variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1): (m,)."""
    return 0.5 * (mean.square() + variance - variance.log() - 1).sum(1)


def translated(aligner: Towers, objective: Reconstruction) -> Towers:
    """Search by translation: a text is where its code decodes to as an image; images are their own standardized selves.

    The towers that come out hold the text tower and the image decoder, with the codebook where there is one.
    """
    shape, decoder = aligner.shape, objective.decoders[Modality.IMAGE]
    assert isinstance(decoder, Decoder)
    image = {name: shape["towers"][Modality.IMAGE][name] for name in ("input", "compress")}
    book = objective.book if isinstance(objective, VectorQuantizedAutoencoder) else None
    tail = {"width": decoder.width, "groups": book.groups if book else 1, "size": len(book.codes) if book else 0}
    made = Towers(
        decoder.out,
        {str(Modality.IMAGE): {"kind": "fixed", **image}, str(Modality.TEXT): shape["towers"][Modality.TEXT]},
        shared=aligner.is_shared,
        code=aligner.code,
        tails={str(Modality.TEXT): tail},
    )
    made.readers[Modality.IMAGE].load_state_dict(aligner.readers[Modality.IMAGE].standardize.state_dict())  # type: ignore[union-attr]
    made.readers[Modality.TEXT].load_state_dict(aligner.readers[Modality.TEXT].state_dict())
    blocks = "shared" if aligner.is_shared else str(Modality.TEXT)
    made.blocks[blocks].load_state_dict(aligner.blocks[blocks].state_dict())
    parts = made.tails[Modality.TEXT]
    if book:
        parts[0].load_state_dict(book.state_dict())  # type: ignore[index]
    (parts[1] if book else parts).load_state_dict(decoder.state_dict())  # type: ignore[index]
    return made.to(next(aligner.parameters()).device).eval()


def _standard(code: Tensor, share: Tensor) -> Tensor:
    """Columns of mean 0 and deviation 1 over the pairs, each of which is a share (p, 1) of the whole."""
    centred = code - (share * code).sum(0)
    return centred / ((share * centred.square()).sum(0) + _EPSILON).sqrt()
