"""What a student is taught from: pictures of all sources in one order, their views, and where a teacher puts them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.types import F32, I64, U8
from indexer.starter.sources import Example
from indexer.starter.space import Space
from indexer.starter.views import Views

NEIGHBOURS = 16
_BLOCK, _SPREAD = 2048, 0.05


@dataclass(frozen=True)
class Answers:
    """A teacher's of a batch of views. joint: (n, d) unit rows; features: (n, f) standardized; logits: (n, c)."""

    joint: Tensor
    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Lessons:
    """views: of each source, in the order of the examples. joint: (n, k, d), sources of fewer views repeating them.

    mean, deviation: (f,) of the logarithms of features. neighbours: (n, NEIGHBOURS) the pictures most like each.
    """

    examples: Sequence[Example]
    views: Sequence[Views]
    joint: F32
    mean: F32
    deviation: F32
    neighbours: I64
    starts: Sequence[int] = field(default_factory=list)

    @classmethod
    def make(cls, examples: Sequence[Example], views: Sequence[Views], space: Space) -> "Lessons":
        most = max(one.features.shape[1] for one in views)
        joint = np.concatenate([_joint(one, space, most) for one in views])
        level = np.log1p(np.concatenate([np.asarray(one.features[:, 0], np.float32) for one in views]))
        whole = joint[:, 0]
        near = [_nearest(whole[at : at + _BLOCK], whole) for at in range(0, len(whole), _BLOCK)]
        starts = [0, *accumulate(len(one) for one in views)]
        spread = level.std(0) + _SPREAD
        return cls(examples, views, joint, level.mean(0), spread, np.concatenate(near), starts)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def most_views(self) -> int:
        return int(self.joint.shape[1])

    def look(self, rows: Sequence[int], view: Sequence[int]) -> tuple[Tensor, Answers]:
        """Pixels (n, 3, side, side) uint8 of these pictures' views, and the teacher's answers to them."""
        found = [self._view(row, number) for row, number in zip(rows, view, strict=True)]
        pixels = torch.from_numpy(np.stack([one[0] for one in found])).permute(0, 3, 1, 2)
        features = np.log1p(np.stack([one[1] for one in found]).astype(np.float32))
        logits = torch.from_numpy(np.stack([one[2] for one in found]).astype(np.float32))
        joint = torch.from_numpy(self.joint[np.asarray(rows), np.asarray(view)])
        return pixels, Answers(joint, torch.from_numpy((features - self.mean) / self.deviation), logits)

    def _view(self, row: int, number: int) -> tuple[U8, F32, F32]:
        source = int(np.searchsorted(self.starts, row, side="right")) - 1
        views, own = self.views[source], row - self.starts[source]
        number %= views.features.shape[1]
        return views.pixels[own, number], views.features[own, number], views.logits[own, number]


def smaller(pixels: Tensor, side: int) -> Tensor:
    """Pictures (n, 3, h, w) uint8 at another size."""
    if pixels.shape[-1] == side:
        return pixels
    return F.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def _joint(views: Views, space: Space, most: int) -> F32:
    n, k, width = views.features.shape
    rows = space.pictures(np.asarray(views.features, np.float32).reshape(n * k, width)).reshape(n, k, -1)
    out: F32 = rows[:, np.arange(most) % k]
    return out


def _nearest(rows: F32, others: F32) -> I64:
    """The most like each row but the very first, which is itself."""
    scores = rows @ others.T
    near = np.argpartition(-scores, NEIGHBOURS + 1, axis=1)[:, : NEIGHBOURS + 1]
    order = np.argsort(-np.take_along_axis(scores, near, axis=1), axis=1, kind="stable")
    out: I64 = np.take_along_axis(near, order, axis=1)[:, 1:]
    return out
