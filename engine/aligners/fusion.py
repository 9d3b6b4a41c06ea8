"""Fusion: attention over everything that is known of one item, whatever its kinds and however much there is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.readers import Residual, Standardize
from engine.types import Modality


class Fusion(Aligner):
    """Learned latents attend over an item's slots (Perceiver, Jaegle et al. 2021), and their mean is its place.

    inputs: by modality {"kind": "vectors", "input": d, "compress": bool, "slots": s} or {"kind": "tokens",
    "vocabulary": v}. A vector makes `slots` slots, a token one. A set of vectors (n, m, d), such as regions, frames
    or the embeddings of several captions, and a set of captions (n, m, t) make m times as many. Rows of zeros and
    tokens 0 pad. An item may lack any modality: the slot of nothing, which all items have, is then all there is.
    """

    kind = "fusion"

    def __init__(
        self,
        dim: int,
        inputs: Mapping[str, Mapping[str, Any]],
        width: int = 256,
        latents: int = 4,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim = dim
        specs = {name: dict(spec) for name, spec in inputs.items()}
        self.shape = {"dim": dim, "inputs": specs, "width": width, "latents": latents, "layers": layers}
        self.shape["dropout"] = dropout
        self.slots = nn.ModuleDict({name: _slots(spec, width, dropout) for name, spec in specs.items()})
        self.nothing = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.latents = nn.Parameter(torch.randn(1, latents, width) * width**-0.5)
        self.layers = nn.ModuleList(Attend(width, dropout) for _ in range(layers))
        self.norm, self.map = nn.LayerNorm(latents * width), nn.Linear(latents * width, dim)

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        return self.fuse({modality: x})

    def fuse(self, inputs: Mapping[Modality, Tensor]) -> Tensor:
        """Everything known of n items at once to unit rows (n, dim)."""
        made = [self.slots[modality](x) for modality, x in inputs.items()]
        count = len(made[0][0])
        slots = torch.cat([self.nothing.expand(count, -1, -1), *(rows for rows, _ in made)], 1)
        absent = torch.cat([torch.zeros(count, 1, dtype=torch.bool, device=slots.device), *(m for _, m in made)], 1)
        out = self.latents.expand(count, -1, -1)
        for layer in self.layers:
            out = layer(out, slots, absent)
        return F.normalize(self.map(self.norm(out.flatten(1))).float(), dim=-1)

    def learn_inputs(self, inputs: Mapping[Modality, Tensor]) -> None:
        """Take means and deviations of the training inputs."""
        for modality, x in inputs.items():
            self.slots[modality].learn(x)  # type: ignore[operator]


class VectorSlots(nn.Module):
    """Vectors (n, d) or sets of them (n, m, d) to slots (n, m * s, width), and which of them are absent (bool)."""

    def __init__(self, input: int, compress: bool, slots: int, width: int, dropout: float) -> None:
        super().__init__()
        self.count, self.standardize, self.dropout = slots, Standardize(input, compress), nn.Dropout(dropout)
        self.map, self.norm = nn.Linear(input, slots * width), nn.LayerNorm(width)

    def learn(self, x: Tensor) -> None:
        """See Standardize."""
        self.standardize.learn(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.to(self.map.weight.device)
        sets = x if x.ndim == 3 else x[:, None]
        slots = self.map(self.dropout(self.standardize(sets))).reshape(len(x), sets.shape[1] * self.count, -1)
        absent = ~sets.any(-1)
        return self.norm(slots), absent.repeat_interleave(self.count, 1)


class TokenSlots(nn.Module):
    """Tokens (n, t) or sets of captions (n, m, t) to slots (n, m * t, width), and which of them are absent (bool)."""

    def __init__(self, vocabulary: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(vocabulary, width, padding_idx=0), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def learn(self, x: Tensor) -> None:
        """Nothing is counted of tokens."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.to(self.embedding.weight.device).flatten(1)
        return self.dropout(self.norm(self.embedding(flat))), flat == 0


class Attend(nn.Module):
    """Latents (n, l, width) attend over slots (n, s, width), then a residual layer."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, max(1, width // 64), dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.residual = Residual(width, 2 * width, dropout)

    def forward(self, latents: Tensor, slots: Tensor, absent: Tensor) -> Tensor:
        seen, _ = self.attention(self.norm(latents), slots, slots, key_padding_mask=absent, need_weights=False)
        out: Tensor = self.residual(latents + seen)
        return out


def _slots(spec: dict[str, Any], width: int, dropout: float) -> VectorSlots | TokenSlots:
    if spec["kind"] == "tokens":
        return TokenSlots(spec["vocabulary"], width, dropout)
    if spec["kind"] == "vectors":
        return VectorSlots(spec["input"], spec["compress"], spec["slots"], width, dropout)
    raise ValueError(f"fusion takes vectors or tokens, not {spec['kind']!r}")
