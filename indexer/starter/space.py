"""The joint space that the student is to learn: Rebus's own best head over the teacher's features, several of them.

Each is fitted from another seed. Inner products of their rows side by side are the mean of theirs, and the leading
singular vectors keep nearly all of that in as few numbers as the student has.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from engine.config import HeadSettings
from engine.heads import Head
from engine.types import F32, I64, Modality
from indexer.heads.fitting import Hear, fit_head, text_of
from indexer.heads.methods import METHODS
from indexer.heads.stored_pairs import StoredPairs
from indexer.starter.sources import Example

_BLOCK = 4096


class Space(NamedTuple):
    """heads: fitted from several seeds. matrix: (sum of widths, d), from their rows side by side to the joint space."""

    heads: Sequence[Head]
    matrix: F32

    def pictures(self, features: F32) -> F32:
        """(n, d) unit rows of the teacher's features (n, f)."""
        return self._joined([head.project(features, Modality.IMAGE) for head in self.heads])

    def texts(self, texts: Sequence[str]) -> F32:
        """(m, d) unit rows."""
        return self._joined([head.project_texts(texts) for head in self.heads])

    def _joined(self, rows: Sequence[F32]) -> F32:
        return _unit(np.concatenate(rows, axis=1) @ self.matrix)


def fit_space(
    examples: Sequence[Example],
    features: F32,
    settings: HeadSettings,
    seeds: int,
    width: int,
    folder: Path,
    name: str,
    hear: Hear,
) -> Space:
    """Fit to features (n, k, f) of k views of n pictures and what is said of each; `folder` keeps what was fitted."""
    pairs = _pairs(examples, features)
    method = METHODS[settings.method]
    heads = []
    for seed in range(seeds):
        place = folder / f"head-{seed}"
        if not place.is_dir():
            own = replace(settings, seed=settings.seed + seed)
            dims = {Modality.IMAGE: features.shape[-1]}
            text = text_of(method, own, embedded=False)
            fitted = fit_head(method, own, pairs, text, dims, name, torch.device("cpu"), folder, hear)
            fitted.head.save(place, {"method": method.name, "best": fitted.best, "curve": fitted.curve})
        heads.append(Head.load(place))
    both = [
        np.concatenate([head.project(pairs.images, Modality.IMAGE) for head in heads], axis=1),
        np.concatenate([head.project_texts(pairs.words) for head in heads], axis=1),
    ]
    gram = sum(rows.T.astype(np.float64) @ rows / len(rows) for rows in both)
    _, vectors = np.linalg.eigh(gram)
    return Space(heads, np.ascontiguousarray(vectors[:, ::-1][:, :width], np.float32))


def _pairs(examples: Sequence[Example], features: F32) -> StoredPairs:
    """Every text with one view of its picture: its first with the first, and so on round."""
    views = features.shape[1]
    words = tuple(text for one in examples for text in one.texts)
    owner: I64 = np.array(
        [row * views + place % views for row, one in enumerate(examples) for place in range(len(one.texts))], np.int64
    )
    images = np.asarray(features, np.float32).reshape(-1, features.shape[-1])
    used, owner = np.unique(owner, return_inverse=True)
    ones, none = np.ones(len(words), np.float32), np.empty((0, 2), np.int64)
    return StoredPairs(images[used], None, words, owner.astype(np.int64), None, ones, none)


def _unit(rows: F32) -> F32:
    out: F32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return out.astype(np.float32)
