"""Additive codebooks trained as those of a VQ-VAE (van den Oord et al. 2017).

The encoder and decoder are linear maps, so that a query is asked of the codes without decoding them. Codewords are
moving averages of what chose them; the gradient passes straight through them to the encoder, which the commitment term
holds near; a codeword that no one chooses is set on a row's remainder. The decoder descends the error of vectors and
that of scores between queries and their neighbours, where only differences within a query count, since what all share
changes no rank.
"""

import numpy as np
import torch
from torch import Tensor, nn

from engine.codecs.hashing import drawn_rotation
from engine.codecs.vq import AdditiveCode
from engine.types import U8
from indexer.codecs.pairs import Asked, score_loss

WORDS = 256
_DECAY, _COMMITMENT, _RATE = 0.95, 0.25, 2e-4
_DEAD = 0.02  # of the mean use, under which a codeword is set anew
SHARE, SCORES = 0.9, 4.0


class Books(nn.Module):
    """Residual codebooks (G, L, WORDS, w) with their moving counts and sums."""

    def __init__(self, books: Tensor) -> None:
        super().__init__()
        self.books: Tensor
        self.register_buffer("books", books)
        self.counts = torch.ones(books.shape[:3])
        self.sums = books.clone()
        self.restarted = 0  # codewords set anew

    def forward(self, y: Tensor) -> Tensor:
        """Rows (n, G, w) as sums of codewords, which move to what chose them."""
        total = torch.zeros_like(y)
        for level in range(self.books.shape[1]):
            rest = y - total
            book = self.books[:, level]
            scores = torch.einsum("ngw,gkw->ngk", rest, book) - (book**2).sum(-1) / 2
            chosen = scores.argmax(-1)
            self._move(level, rest, chosen)
            total = total + torch.stack([book[g][chosen[:, g]] for g in range(len(book))], 1)
        return total

    def _move(self, level: int, rest: Tensor, chosen: Tensor) -> None:
        for group in range(len(self.books)):
            picks, rows = chosen[:, group], rest[:, group]
            count = torch.bincount(picks, minlength=WORDS).float()
            summed = torch.zeros_like(self.books[group, level]).index_add_(0, picks, rows)
            counts, sums = self.counts[group, level], self.sums[group, level]
            counts.mul_(_DECAY).add_(count, alpha=1 - _DECAY)
            sums.mul_(_DECAY).add_(summed, alpha=1 - _DECAY)
            dead = (counts < _DEAD * len(rows) / WORDS).nonzero()[:, 0]
            if len(dead):
                self.restarted += len(dead)
                fresh = rows[torch.randint(len(rows), (len(dead),))]
                counts[dead], sums[dead] = len(rows) / WORDS, fresh * (len(rows) / WORDS)
            self.books[group, level] = sums / counts[:, None]


def train_additive(
    asked: Asked,
    groups: int,
    levels: int,
    epochs: int = 6,
    share: float = SHARE,
    scores: float = SCORES,
    seed: int = 0,
) -> AdditiveCode:
    """Codes of groups * levels bytes; `groups` divides the dimension.

    share: see engine.codecs.aim. scores: what the error of scores weighs beside that of vectors; with 0 for both, codes
    are nearest, whoever asks.
    """
    torch.manual_seed(seed)
    mean = asked.rows.mean(0, dtype=np.float64).astype(np.float32)
    rows = torch.from_numpy(asked.rows - mean)
    dim = rows.shape[1]
    into = nn.Parameter(torch.from_numpy(drawn_rotation(dim, dim, seed)))
    back = nn.Parameter(into.detach().T.clone())
    books = Books(_first_books(rows @ into.detach(), groups, levels))
    queries, nearest = torch.from_numpy(asked.queries), torch.from_numpy(asked.nearest)
    descent = torch.optim.Adam([into, back], lr=_RATE)
    for _ in range(epochs):
        for batch in torch.split(torch.randperm(len(queries)), 256):
            found = nearest[batch]
            drawn = torch.randint(len(rows), (len(batch) * 4,))
            x = rows[torch.cat([found.flatten(), drawn])]
            y = (x @ into).view(len(x), groups, -1)
            with torch.no_grad():
                words = books(y)
            decoded = (y + (words - y).detach()).flatten(1) @ back
            error = x - decoded
            commitment = ((y - words) ** 2).sum((1, 2)).mean()
            missed = score_loss(queries[batch], error[: found.numel()].view(*found.shape, dim))
            loss = (error**2).sum(1).mean() + scores * missed + _COMMITMENT * commitment
            descent.zero_grad()
            loss.backward()
            descent.step()
    ask = asked.expected() if share else np.zeros((dim, dim), np.float32)
    codec = AdditiveCode(
        mean, into.detach().numpy(), back.detach().numpy(), books.books.numpy(), ask, np.array([share], np.float32)
    )
    codec.restarted = books.restarted
    return codec


def perplexity(codes: U8) -> float:
    """The mean over a code's bytes (n, bytes), a codeword each, of e to the entropy of their use."""
    shares = np.stack([np.bincount(column, minlength=WORDS) / len(codes) for column in codes.T])
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return round(float(np.exp(-(shares * logs).sum(1)).mean()), 1)


def _first_books(y: Tensor, groups: int, levels: int) -> Tensor:
    """Levels of k-means, each over what the ones before left."""
    rest = y[torch.randperm(len(y))[:20_000]].view(-1, groups, y.shape[1] // groups).transpose(0, 1).clone()
    books = torch.empty(groups, levels, WORDS, rest.shape[2])
    for level in range(levels):
        words = rest[:, torch.randint(rest.shape[1], (WORDS,))].clone()
        for _ in range(8):
            chosen = _nearest(rest, words)
            for group in range(groups):
                count = torch.bincount(chosen[group], minlength=WORDS)
                summed = torch.zeros_like(words[group]).index_add_(0, chosen[group], rest[group])
                words[group] = torch.where(count[:, None] > 0, summed / count[:, None].clamp(min=1), words[group])
        books[:, level] = words
        rest -= torch.stack([words[group][chosen] for group, chosen in enumerate(_nearest(rest, words))])
    return books


def _nearest(rest: Tensor, words: Tensor) -> Tensor:
    return (torch.bmm(rest, words.transpose(1, 2)) - (words**2).sum(-1)[:, None] / 2).argmax(-1)
