"""Hashing objectives: a head whose signs alone are to find what its vectors find."""

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.towers import Towers
from engine.types import Modality
from indexer.objectives import Batch
from indexer.objectives.ranking import InfoNCE


class Binarised(InfoNCE):
    """Cross-modal hashing with tanh in place of the sign (Jiang & Li 2017, eq. 2; Cao et al. 2017).

    Relaxed codes u = tanh(h) are ranked by InfoNCE, and three terms make their signs good ones: quantisation
    (u - sign u)², balance (each bit is on half of the time) and decorrelation (uᵀu/n is the identity, Weiss et al.
    2008, eq. 2), each a mean over bits.
    """

    def __init__(self, quantisation: float = 0.1, balance: float = 0.1, decorrelation: float = 1.0) -> None:
        super().__init__()
        self.quantisation, self.balance, self.decorrelation = quantisation, balance, decorrelation

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(aligner, Towers)
        codes = [aligner.embed(batch.inputs[m], m).tanh() for m in (Modality.IMAGE, Modality.TEXT)]
        ranked = self.rank(F.normalize(codes[0], dim=-1), F.normalize(codes[1], dim=-1), batch)
        terms = {
            "quantisation": torch.stack([(u - u.detach().sign()).square().mean() for u in codes]).mean(),
            "balance": torch.stack([u.mean(0).square().mean() for u in codes]).mean(),
            "decorrelation": torch.stack([correlation(u) for u in codes]).mean(),
        }
        loss = ranked["loss"] + self.quantisation * terms["quantisation"]
        loss = loss + self.balance * terms["balance"] + self.decorrelation * terms["decorrelation"]
        return {**ranked, "loss": loss, **{name: term.detach() for name, term in terms.items()}}


def correlation(codes: Tensor) -> Tensor:
    """How far codes (n, b) of -1..1 are from independent bits: the mean square of uᵀu/n less the identity."""
    return (codes.T @ codes / len(codes) - torch.eye(codes.shape[1], device=codes.device)).square().mean()
