"""Linear aligners: one matrix for each modality, over its centred vectors or over a map of them by kernels."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from engine.aligners import Aligner
from engine.errors import InvalidInput
from engine.types import Modality

Kernel = Literal["none", "rbf", "chi2"]
_PAIRS = 1 << 24  # numbers held while a block of χ² distances is taken


class Linear(Aligner):
    """Unit rows of (features(x) - mean) @ matrix + bias; or, for `classes`, of posteriors over categories.

    sides: for each modality {"dim": width of its vectors, "power": each number x becomes sign(x)·|x|^power, "kernel":
    none, rbf or chi2, "landmarks": how many vectors the kernel compares with}. features(x) is x after its power, or
    exp(-gamma · distance(x, landmark)) for each landmark.

    With classes, a modality's row is its softmax p, and in a column of that modality's own √(1 - |p|²): the inner
    product of an image and a text is then Σ p q, the probability that both are of one category (semantic matching,
    Rasiwasia et al. 2010, with the unit-length map for inner products of Neyshabur and Srebro 2015). Two rows of
    one modality are compared by their certainty too.
    """

    kind = "linear"

    def __init__(self, dim: int, sides: Mapping[str, Mapping[str, Any]], classes: int = 0) -> None:
        super().__init__()
        if classes and dim < classes + len(sides):
            raise ValueError(f"{classes} categories and {len(sides)} modalities need a wider space than {dim}")
        self.dim, self.classes = dim, classes
        self.shape = {"dim": dim, "sides": {name: dict(side) for name, side in sides.items()}, "classes": classes}
        self.sides = nn.ModuleDict({name: Side(out=classes or dim, **side) for name, side in sides.items()})

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        if str(modality) not in self.sides:
            raise InvalidInput(f"this head was trained on {' and '.join(self.sides)}, not on {modality}")
        out: Tensor = self.sides[str(modality)](x)
        if not self.classes:
            return nn.functional.normalize(out, dim=-1)
        posteriors = out.softmax(dim=-1)
        rows = posteriors.new_zeros(len(x), self.dim)
        rows[:, : self.classes] = posteriors
        rest = (1 - posteriors.square().sum(-1)).clamp(min=0).sqrt()
        rows[:, self.classes + list(self.sides).index(str(modality))] = rest
        return rows


class Side(nn.Module):
    """One modality's map: (n, dim) to (n, out) float32, not normalised."""

    mean: Tensor
    matrix: Tensor
    bias: Tensor
    landmarks: Tensor
    gamma: Tensor

    def __init__(self, dim: int, out: int, power: float = 1.0, kernel: Kernel = "none", landmarks: int = 0) -> None:
        super().__init__()
        if kernel not in get_args(Kernel):
            raise ValueError(f"no kernel is called {kernel!r}")
        self.power, self.kernel = power, kernel
        width = landmarks if kernel != "none" else dim
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.zeros(width, out))
        self.register_buffer("bias", torch.zeros(out))
        self.register_buffer("landmarks", torch.zeros(landmarks, dim))
        self.register_buffer("gamma", torch.ones(()))

    def features(self, x: Tensor) -> Tensor:
        """(n, dim) or (n, landmarks), before centring."""
        if self.power != 1:
            x = powered(x, self.power)
        return x if self.kernel == "none" else similarities(x, self.landmarks, self.kernel, float(self.gamma))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.features(x.to(self.mean.dtype)) - self.mean) @ self.matrix + self.bias
        return out


def powered(x: Tensor, power: float) -> Tensor:
    """sign(x)·|x|^power; 1/2 makes inner products of histograms Hellinger's (Perronnin et al. 2010)."""
    return x.sign() * x.abs() ** power


def distances(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """(n, m) of rows x (n, d) and y (m, d): rbf, squared Euclidean; chi2, Σ (x - y)² / (x + y), for histograms."""
    if kernel == "rbf":
        return torch.cdist(x, y).square_()
    block = max(1, _PAIRS // max(1, y.numel()))
    return torch.cat([_chi2(part, y) for part in torch.split(x, block)]) if len(x) else x.new_zeros(0, len(y))


def similarities(x: Tensor, y: Tensor, kernel: Kernel, gamma: float) -> Tensor:
    """exp(-gamma · distance), (n, m) between 0 and 1; the chi2 one is Zhang et al. 2007."""
    return distances(x, y, kernel).mul_(-gamma).exp_()


def _chi2(x: Tensor, y: Tensor) -> Tensor:
    both = x[:, None] + y[None]
    return ((x[:, None] - y[None]).square_() / both.masked_fill_(both <= 0, 1)).sum(-1)
