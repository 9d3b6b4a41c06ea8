"""Batches of stored pairs: every caption once an epoch, with its picture, its weight and its known wrong answers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from engine.types import Modality
from indexer.heads.stored_pairs import StoredPairs
from indexer.objectives import Batch

_FEWEST, _STEPS = 32, 8


class PairTensors:
    """Stored pairs as tensors: images (n, d) float32, texts (m, …) as an aligner takes them, owner (m,)."""

    def __init__(self, pairs: StoredPairs, texts: Tensor, device: torch.device) -> None:
        self.images, self.texts, self.device = torch.from_numpy(pairs.images), texts, device
        self.owner, self.weights = torch.from_numpy(pairs.owner), torch.from_numpy(pairs.weights)
        self.negatives = torch.from_numpy(pairs.negatives).reshape(-1, 2)
        self.categories = None if pairs.categories is None else torch.from_numpy(pairs.categories)
        self.paired = (self.weights > 0).nonzero()[:, 0]
        self.even = bool((self.weights == 1).all())

    def batches(self, size: int, generator: torch.Generator, together: int = 1) -> Iterator[Batch]:
        """One epoch in random order, `size` captions a batch; a short rest is left out, but for a lone batch.

        together: up to so many captions of one picture, chosen anew each epoch, stand in the same batch.
        """
        order = self._order(together, generator)
        size = self.batch_size(size)
        for start in range(0, len(order) - size + 1, size):
            yield self.batch(order[start : start + size])

    def batch_size(self, wanted: int) -> int:
        """Captions in a batch: few enough that a small library still makes several steps an epoch."""
        return min(wanted, len(self.paired), max(_FEWEST, len(self.paired) // _STEPS))

    def batch(self, rows: Tensor) -> Batch:
        """The captions of `rows` (k,), then those marked wrong for their pictures; and all pictures of either."""
        near = torch.isin(self.negatives[:, 0], rows) | torch.isin(self.negatives[:, 1], self.owner[rows])
        marked = self.negatives[near]
        more = torch.unique(marked[:, 0])
        rows = torch.cat([rows, more[~torch.isin(more, rows)]])
        images, where = torch.unique(torch.cat([self.owner[rows], marked[:, 1]]), return_inverse=True)
        place = torch.empty(len(self.owner), dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        negatives = torch.stack([place[marked[:, 0]], where[len(rows) :]], 1)
        return Batch(
            {Modality.IMAGE: self.images[images].to(self.device), Modality.TEXT: self.texts[rows].to(self.device)},
            where[: len(rows)].to(self.device),
            None if self.even else self.weights[rows].to(self.device),
            negatives.to(self.device) if len(negatives) else None,
            None if self.categories is None else self.categories[images].to(self.device),
        )

    def _order(self, together: int, generator: torch.Generator) -> Tensor:
        """Every caption that is one of its picture's once, in groups of one picture's."""
        shuffled = self.paired[torch.randperm(len(self.paired), generator=generator)]
        by_picture = shuffled[self.owner[shuffled].argsort(stable=True)]
        owner = self.owner[by_picture]
        counts = torch.bincount(owner)
        within = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner]
        _, group = torch.unique(owner * (len(owner) + 1) + within // together, return_inverse=True)
        turn = torch.randperm(int(group.max()) + 1, generator=generator)
        return by_picture[turn[group].argsort(stable=True)]
