"""How a tower begins: vectors are brought to one scale, tokens are read; either becomes rows (n, width)."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WORD_DROPOUT = 0.1  # words left out at random in training: a caption must be found by what is left
_LOWEST = -1e4  # a score that no softmax or maximum takes, and that float16 can hold


class Standardize(nn.Module):
    """Unit rows (n, d), each column then centred and divided by its deviation as seen in `learn`.

    compress: log(1 + x / mean) comes first, the mean being of all training values. It suits features that are never
    negative, such as pooled activations, whose few large values would drown the others.
    """

    def __init__(self, width: int, compress: bool) -> None:
        super().__init__()
        self.compress = compress
        self.level: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("level", torch.ones(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return (self._unit(x) - self.mean) * self.scale

    @torch.no_grad()
    def learn(self, x: Tensor) -> None:
        """Take mean and deviation of the training inputs (n, d); a column that hardly varies is not blown up."""
        self.level.copy_(x.mean().clamp(min=1e-6))
        unit = self._unit(x)
        deviation = unit.std(0, correction=0)
        self.mean.copy_(unit.mean(0))
        self.scale.copy_(1 / (deviation + 0.1 * deviation.mean() + 1e-6))

    def _unit(self, x: Tensor) -> Tensor:
        x = x.to(self.mean.device, torch.float32)
        return F.normalize((x.clamp(min=0) / self.level).log1p() if self.compress else x, dim=-1)


class Residual(nn.Module):
    """x + W₂ dropout(gelu(W₁ norm(x))): a pre-norm residual layer, (n, d) to (n, d)."""

    def __init__(self, dim: int, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class VectorReader(nn.Module):
    """Standardized vectors (n, d) through dropout and one matrix to (n, out)."""

    def __init__(self, input: int, out: int, compress: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.standardize, self.dropout = Standardize(input, compress), nn.Dropout(dropout)
        self.map = nn.Linear(input, out)

    def learn(self, x: Tensor) -> None:
        """See Standardize."""
        self.standardize.learn(x)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.map(self.dropout(self.standardize(x)))
        return out


class TokenReader(nn.Module):
    """Tokens (n, t) int64, 0 pads, to (n, out): a weighted bag of words, and a sequence's pooled states beside it.

    The bag sums a vector for each token times a learned weight (which begins as its inverse document frequency, see
    `learn`), over the length of the weights. sequence: none, gru (in both directions) or transformer, of `layers`
    layers, pooled by `pooling`: mean, max or attention.
    """

    def __init__(
        self,
        vocabulary: int,
        out: int,
        dropout: float = 0.0,
        sequence: str = "none",
        width: int = 256,
        layers: int = 1,
        pooling: str = "max",
        longest: int = 512,
    ) -> None:
        super().__init__()
        self.bag = nn.Embedding(vocabulary, out, padding_idx=0)
        nn.init.normal_(self.bag.weight, std=0.05)
        self.importance = nn.Parameter(torch.ones(vocabulary))
        self.dropout = nn.Dropout(dropout)
        self.sequence = None
        if sequence != "none":
            self.sequence = Sequence(vocabulary, width, out, sequence, layers, pooling, dropout, longest)

    @torch.no_grad()
    def learn(self, x: Tensor) -> None:
        """Begin with the inverse document frequencies of the training tokens (n, t), 1 on average."""
        counts = torch.zeros(len(self.importance))
        ordered = x.cpu().sort(1).values
        first = torch.ones_like(ordered, dtype=torch.bool)
        first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        counts += torch.bincount(ordered[first], minlength=len(counts))
        inverse = (len(x) / (counts + 1)).log().clamp(min=0.05)
        self.importance.copy_(inverse / inverse.mean())

    def forward(self, x: Tensor) -> Tensor:
        x = _trim(x.to(self.importance.device))
        seen = x != 0
        if self.training:
            x = x * (torch.rand(x.shape, device=x.device) > _WORD_DROPOUT)
        weight = self.importance[x] * (x != 0)
        total = torch.einsum("nt,nto->no", weight, self.bag(x))
        out: Tensor = self.dropout(total / (weight.norm(dim=1, keepdim=True) + 1e-6))
        return out if self.sequence is None else out + self.sequence(x, seen)


class Sequence(nn.Module):
    """Tokens (n, t) in their order to (n, out). seen: (n, t) bool, what is no padding; padding changes nothing."""

    def __init__(
        self, vocabulary: int, width: int, out: int, kind: str, layers: int, pooling: str, dropout: float, longest: int
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.dropout = nn.Dropout(dropout)
        self.states: Recurrent | Transformer
        if kind == "gru":
            self.states = Recurrent(width, layers)
        elif kind == "transformer":
            self.states = Transformer(width, layers, dropout, longest)
        else:
            raise ValueError(f"a tower reads tokens by gru, transformer or none, not {kind!r}")
        self.pool, self.map = Pool(self.states.width, pooling), nn.Linear(self.states.width, out)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        states = self.states(self.dropout(self.embedding(x)), seen)
        out: Tensor = self.map(self.dropout(self.pool(states, seen)))
        return out


class Recurrent(nn.Module):
    """Gated recurrent units in both directions (Cho et al. 2014); padding comes last and is not run over."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.width = 2 * width
        self.gru = nn.GRU(width, width, layers, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        lengths = seen.sum(1).clamp(min=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = self.gru(packed)
        return nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])[0]


class Transformer(nn.Module):
    """A pre-norm transformer encoder (Vaswani et al. 2017; Xiong et al. 2020) with learned positions."""

    def __init__(self, width: int, layers: int, dropout: float, longest: int) -> None:
        super().__init__()
        self.width = width
        self.positions = nn.Parameter(torch.randn(longest, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, max(1, width // 64), 4 * width, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        hidden = ~seen
        hidden[:, 0] = False  # a row of padding alone attends to its first place, and is pooled to zero
        out: Tensor = self.layers(x + self.positions[: x.shape[1]], src_key_padding_mask=hidden)
        return out


class Pool(nn.Module):
    """States (n, t, w) to one row (n, w), over what is seen (n, t) alone; zero where nothing is."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        if kind not in ("mean", "max", "attention"):
            raise ValueError(f"states are pooled by mean, max or attention, not {kind!r}")
        self.kind = kind
        self.score = nn.Linear(width, 1) if kind == "attention" else None

    def forward(self, states: Tensor, seen: Tensor) -> Tensor:
        here = seen[..., None]
        if self.kind == "max":
            return states.masked_fill(~here, _LOWEST).amax(1) * here.any(1)
        if self.score is None:
            return (states * here).sum(1) / here.sum(1).clamp(min=1)
        weights: Tensor = self.score(states).masked_fill(~here, _LOWEST).softmax(1)
        return (states * weights * here).sum(1)


READERS: dict[str, type[nn.Module]] = {"vectors": VectorReader, "tokens": TokenReader}


def make_reader(spec: dict[str, Any], out: int) -> VectorReader | TokenReader:
    """The reader that a tower's JSON names: {"kind": vectors or tokens, and its constructor's other values}."""
    values = {name: value for name, value in spec.items() if name != "kind"}
    return cast(VectorReader | TokenReader, READERS[spec["kind"]](out=out, **values))


def _trim(x: Tensor) -> Tensor:
    """Without the columns at the end that are padding in every row; one at least stays."""
    used = (x != 0).any(0).nonzero()
    return x[:, : int(used.max()) + 1 if len(used) else 1]
