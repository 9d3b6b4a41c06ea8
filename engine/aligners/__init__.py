"""Aligners: the learned map from embeddings into the joint space, as a query needs it."""

import torch
from torch import Tensor, nn

from engine.types import F32, Modality


class Aligner(nn.Module):
    """`project` maps an encoder's embeddings (n, d_in) of a modality to unit rows (n, dim) of the joint space."""

    dim: int

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        """float32 (n, dim), rows of unit length; inner product is similarity, higher is nearer."""
        raise NotImplementedError

    @torch.inference_mode()
    def project_numpy(self, x: F32, modality: Modality) -> F32:
        """The same for arrays, without gradients."""
        out: F32 = self.project(torch.from_numpy(x), modality).numpy()
        return out


class Identity(Aligner):
    """No map: the encoder's own space is the joint space."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        return nn.functional.normalize(x, dim=-1)
