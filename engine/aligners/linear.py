"""Linear aligners: one matrix for each modality, over its centred vectors or over a map of them by kernels."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from engine.aligners import Aligner
from engine.types import Modality

Kernel = Literal["none", "rbf", "chi2"]
_PAIRS = 1 << 24  # numbers held while a block of χ² distances is taken


class Linear(Aligner):
    """Unit rows of (features(x) - mean) @ matrix + bias, through a softmax when the space is that of categories.

    sides: for each modality {"dim": width of its vectors, "kernel": none, rbf or chi2, "landmarks": how many vectors
    the kernel compares with}. features(x) is x itself, or exp(-gamma · distance(x, landmark)) for each landmark.
    softmax: rows are class posteriors, compared by what they say beyond `prior` (the classes' frequencies).
    """

    kind = "linear"

    def __init__(self, dim: int, sides: Mapping[str, Mapping[str, Any]], softmax: bool = False) -> None:
        super().__init__()
        self.dim, self.softmax = dim, softmax
        self.shape = {"dim": dim, "sides": {name: dict(side) for name, side in sides.items()}, "softmax": softmax}
        self.sides = nn.ModuleDict({name: Side(out=dim, **side) for name, side in sides.items()})
        self.register_buffer("prior", torch.zeros(dim))

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        if str(modality) not in self.sides:
            raise ValueError(f"this head was trained on {', '.join(self.sides)}, not on {modality}")
        out: Tensor = self.sides[str(modality)](x)
        if self.softmax:
            out = out.softmax(dim=-1)
        return nn.functional.normalize(out - self.prior, dim=-1)


class Side(nn.Module):
    """One modality's map: (n, dim) to (n, out) float32, not normalised."""

    mean: Tensor
    matrix: Tensor
    bias: Tensor
    landmarks: Tensor
    gamma: Tensor

    def __init__(self, dim: int, out: int, kernel: Kernel = "none", landmarks: int = 0) -> None:
        super().__init__()
        if kernel not in get_args(Kernel):
            raise ValueError(f"no kernel is called {kernel!r}")
        self.kernel: Kernel = kernel
        width = landmarks if kernel != "none" else dim
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.zeros(width, out))
        self.register_buffer("bias", torch.zeros(out))
        self.register_buffer("landmarks", torch.zeros(landmarks, dim))
        self.register_buffer("gamma", torch.ones(()))

    def features(self, x: Tensor) -> Tensor:
        """(n, dim) or (n, landmarks), before centring."""
        return x if self.kernel == "none" else similarities(x, self.landmarks, self.kernel, float(self.gamma))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.features(x.to(self.mean.dtype)) - self.mean) @ self.matrix + self.bias
        return out


def distances(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """(n, m) of rows x (n, d) and y (m, d): rbf, squared Euclidean; chi2, Σ (x - y)² / (x + y), for histograms."""
    if kernel == "rbf":
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_()
    block = max(1, _PAIRS // max(1, y.numel()))
    return torch.cat([_chi2(part, y) for part in torch.split(x, block)]) if len(x) else x.new_zeros(0, len(y))


def similarities(x: Tensor, y: Tensor, kernel: Kernel, gamma: float) -> Tensor:
    """exp(-gamma · distance), (n, m) between 0 and 1; the chi2 one is Zhang et al. 2007, eq. 1."""
    return distances(x, y, kernel).mul_(-gamma).exp_()


def _chi2(x: Tensor, y: Tensor) -> Tensor:
    both = x[:, None] + y[None]
    return ((x[:, None] - y[None]).square_() / both.masked_fill_(both <= 0, 1)).sum(-1)
