"""Aligners: the learned map into the joint space, as a query needs it. Each file here is one query-time shape."""

from typing import Any, ClassVar

from torch import Tensor, nn

from engine.types import Modality


class Aligner(nn.Module):
    """`project` maps a modality's inputs to unit rows of the joint space; inner product is similarity.

    Inputs are one of: vectors (n, d_in) float32; tokens (n, t) int64, where 0 pads; sets (n, m, d_in) float32,
    where rows of zeros pad. `shape` holds the JSON values that the constructor takes, so that `Kind(**shape)` and
    the state dict make the aligner again; `kind` names it in a manifest.
    """

    kind: ClassVar[str]
    dim: int
    shape: dict[str, Any]

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        """float32 (n, dim), rows of unit length; higher inner products are nearer."""
        raise NotImplementedError


class Identity(Aligner):
    """No map: the encoder's own space is the joint space."""

    kind = "identity"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim, self.shape = dim, {"dim": dim}

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        return nn.functional.normalize(x, dim=-1)
