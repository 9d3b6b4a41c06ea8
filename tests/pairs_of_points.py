"""A tiny set of pairs that can be learned: two views of hidden points, as vectors and as tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.aligners import Aligner
from engine.config import HeadSettings
from indexer.heads.methods import METHODS
from indexer.heads.stored_pairs import StoredPairs
from indexer.heads.tasks import Task, TextsOf
from indexer.train import TrainingReport
from tests.conftest import silent

_HIDDEN, _TEXTS_EACH = 6, 2
QUICK = {"dim": 32, "width": 32, "batch_size": 128, "epochs": 6, "learning_rate": 0.01, "patience": 6, "dropout": 0.1}


def point_pairs(count: int, seed: int, categories: bool = True) -> tuple[StoredPairs, torch.Tensor, torch.Tensor]:
    """`count` pictures of two texts each: the pairs, the texts as vectors (m, 12) and as tokens (m, 6) of 26.

    A token says in which quarter a hidden coordinate lies; the category is the sign of the first two.
    """
    maps = np.random.default_rng(7).normal(size=(2, _HIDDEN, 12))  # the same for every set
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, _HIDDEN))
    owner = np.repeat(np.arange(count), _TEXTS_EACH)
    said = hidden[owner] + 0.1 * rng.normal(size=(len(owner), _HIDDEN))
    tokens = 2 + np.digitize(said, (-0.7, 0, 0.7)) + 4 * np.arange(_HIDDEN)
    pairs = StoredPairs(
        images=(hidden @ maps[0]).astype(np.float32),
        texts=None,
        words=("",) * len(owner),
        owner=owner,
        categories=(hidden[:, 0] > 0).astype(np.int64) + 2 * (hidden[:, 1] > 0) if categories else None,
        weights=np.ones(len(owner), np.float32),
        negatives=np.empty((0, 2), np.int64),
    )
    return pairs, torch.from_numpy((said @ maps[1]).astype(np.float32)), torch.from_numpy(tokens)


def learn(
    method: str, checkpoint: Path, tokens: bool = False, hear: Any = silent, **changes: Any
) -> tuple[Aligner, TrainingReport]:
    """Fit a method to 256 pictures, and look at 64 others after each epoch."""
    train, held_out = point_pairs(256, 1), point_pairs(64, 2)
    task = Task(
        train=train[0],
        aside=held_out[0],
        texts=TextsOf(*(side[2] if tokens else side[1] for side in (train, held_out))),
        vocabulary=26 if tokens else None,
        settings=HeadSettings(method=method, **{**QUICK, **changes}),
        device=torch.device("cpu"),
        checkpoint=checkpoint,
        identity=method,
        hear=hear,
    )
    return METHODS[method].fit(task)


def same_weights(a: Aligner, b: Aligner) -> bool:
    """Whether two aligners of one shape have the same weights to the last bit."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
