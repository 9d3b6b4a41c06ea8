"""From a code of the joint space back to an embedding: what translation needs beside a tower."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Decoder(nn.Module):
    """Codes (n, code) through one hidden layer to (n, out), in the standardized space of what is reconstructed."""

    def __init__(self, code: int, width: int, out: int) -> None:
        super().__init__()
        self.width, self.out = width, out
        self.layers = nn.Sequential(nn.Linear(code, width), nn.GELU(), nn.Linear(width, out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Codebook(nn.Module):
    """Vector quantisation (van den Oord et al. 2017, eq. 1) of each of `groups` equal parts of a code, by one table.

    The codes are no parameters: indexer/objectives/reconstruction.py moves them with what falls to them.
    """

    def __init__(self, code: int, groups: int, size: int) -> None:
        super().__init__()
        if code % groups:
            raise ValueError(f"a code of {code} does not divide into {groups} equal parts")
        self.groups = groups
        self.codes: Tensor
        self.register_buffer("codes", torch.randn(size, code // groups))

    def parts(self, x: Tensor) -> Tensor:
        """(n, code) to (n * groups, code / groups)."""
        return x.reshape(-1, self.codes.shape[1])

    def nearest(self, x: Tensor) -> Tensor:
        """The row of the nearest code for each part: (n * groups,) int64."""
        return torch.cdist(self.parts(x).float(), self.codes).argmin(1)

    def forward(self, x: Tensor) -> Tensor:
        """Each part replaced by its nearest code: (n, code)."""
        return F.embedding(self.nearest(x), self.codes).reshape(x.shape)
