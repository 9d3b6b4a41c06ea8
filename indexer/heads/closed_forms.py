"""Heads by closed forms over pairs: a solver's settings are chosen on training pictures set aside."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine.aligners import Aligner
from engine.aligners.linear import Linear, distances
from engine.errors import InvalidInput
from engine.types import F32, I64, Array, Modality
from indexer.metrics import pair_ranks
from indexer.objectives.closed_form import Moments, cca, kernel_ridge, moments, ridge, shared_factors
from indexer.train import TrainingReport

if TYPE_CHECKING:
    from indexer.heads.tasks import Task

LANDMARKS = 2048  # vectors a kernel compares with, at most
_ASIDE, _MINIMUM = 0.1, 10

Setting = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Data:
    """Pairs of vectors, as StoredPairs has them, each of a weight above 0; texts (m, d_text) float32."""

    images: F32
    texts: F32
    owner: I64
    weights: F32

    def of(self, pictures: I64) -> "Data":
        """The pairs of these pictures alone."""
        place = np.full(len(self.images), -1)
        place[pictures] = np.arange(len(pictures))
        kept = place[self.owner] >= 0
        return Data(self.images[pictures], self.texts[kept], place[self.owner[kept]], self.weights[kept])

    @property
    def moments(self) -> Moments:
        return moments(self.images, self.texts, self.owner, self.weights)


Solver = Callable[[Data, int, int], Callable[[Setting], Linear]]
"""(pairs, width of the joint space at most, seed) to what solves for one setting."""


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """A fit: tries each setting on nine tenths of the pictures, and solves for all with the one that ranks best."""

    solver: Solver
    grid: Sequence[Setting]

    def __call__(self, task: "Task") -> tuple[Aligner, TrainingReport]:
        started = time.monotonic()
        data, dim, seed = data_of(task), task.settings.dim, task.settings.seed
        order = np.random.default_rng(seed).permutation(len(data.images))
        aside = max(1, int(_ASIDE * len(order)))
        judged, solve = data.of(np.sort(order[:aside])), self.solver(data.of(np.sort(order[aside:])), dim, seed)
        best, best_score = self.grid[0], -1.0
        for tried, setting in enumerate(self.grid, 1):
            score = r10(solve(setting), judged)
            task.hear(
                {"r10": score, **{k: v for k, v in setting.items() if isinstance(v, float)}}, tried, len(self.grid)
            )
            if score > best_score:
                best, best_score = setting, score
        aligner = self.solver(data, dim, seed)(best)
        numbers = {name: float(value) for name, value in best.items() if not isinstance(value, str)}
        return aligner, TrainingReport(best={"r10": best_score, **numbers}, seconds=time.monotonic() - started)


def data_of(task: "Task") -> Data:
    """The task's training pairs, without texts that are no pair and pictures that have no other.

    Raises InvalidInput when a closed form cannot learn from them.
    """
    texts, pairs = task.texts.train, task.train
    if not texts.is_floating_point():
        raise InvalidInput("closed forms read vectors of words, not tokens: set [head] text to lexical or encoder")
    if len(texts) != len(pairs.owner):
        raise InvalidInput(
            f"{len(texts)} captions are embedded but {len(pairs.owner)} name a picture: import them again"
        )
    paired = pairs.weights > 0
    described = np.unique(pairs.owner[paired])
    if len(described) < _MINIMUM:
        raise InvalidInput(
            f"{len(described)} captioned pictures are too few to learn from: at least {_MINIMUM} are needed"
        )
    data = Data(pairs.images.astype(np.float32), texts.numpy()[paired], pairs.owner[paired], pairs.weights[paired])
    for name, x in (("picture", data.images), ("caption", data.texts)):
        bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
        if len(bad):
            raise InvalidInput(
                f"{len(bad)} {name} vectors hold NaN or infinity, the first in row {bad[0]}: remove them"
            )
    return data.of(described)


@torch.inference_mode()
def r10(aligner: Aligner, data: Data) -> float:
    """Recall at 10 averaged over both ways."""
    images = aligner.project(torch.from_numpy(data.images), Modality.IMAGE).numpy()
    texts = aligner.project(torch.from_numpy(data.texts), Modality.TEXT).numpy()
    return pair_ranks(images, texts, data.owner).r10


def linear(sides: Mapping[Modality, Mapping[str, Any]], classes: int = 0) -> Linear:
    """The aligner of these sides: matrix (d, out), mean (d,), what else `Side` has. Its width is a multiple of 8."""
    out = max(side["matrix"].shape[1] for side in sides.values())
    dim = -8 * (-(classes + len(sides) if classes else out) // 8)
    shapes = {}
    for modality, side in sides.items():
        marks = side.get("landmarks")
        width = len(side["matrix"]) if marks is None else marks.shape[1]
        shapes[str(modality)] = {"dim": width, "power": side.get("power", 1.0), "kernel": side.get("kernel", "none"),
                                 "landmarks": 0 if marks is None else len(marks)}  # fmt: skip
    aligner = Linear(dim, shapes, classes)
    for modality, side in sides.items():
        made = aligner.sides[str(modality)]
        for name in ("mean", "matrix", "bias", "landmarks", "gamma"):
            if name in side:
                value = torch.as_tensor(np.asarray(side[name]), dtype=torch.float32)
                target = getattr(made, name)
                target[tuple(slice(size) for size in value.shape)] = value  # columns to spare stay zero
    return aligner.eval()


def ridge_solver(data: Data, dim: int, seed: int) -> Callable[[Setting], Linear]:
    """Images into the texts' space, or texts into the images'; `dim` does not narrow it."""
    m = data.moments

    def solve(setting: Setting) -> Linear:
        to_texts = setting["to"] == "texts"
        matrix = ridge(m if to_texts else m.swapped, setting["alpha"])
        x, y = (matrix, np.eye(matrix.shape[1])) if to_texts else (np.eye(matrix.shape[1]), matrix)
        return _two(m, x, y)

    return solve


def cca_solver(data: Data, dim: int, seed: int) -> Callable[[Setting], Linear]:
    """Variates weighted by a power of their correlations (Gong et al. 2014, there the fourth of them)."""
    m = data.moments
    solved = cache(lambda alpha: cca(m, alpha, dim))

    def solve(setting: Setting) -> Linear:
        a, b, correlations = solved(setting["alpha"])
        weights = correlations ** setting["power"]
        return _two(m, a * weights, b * weights)

    return solve


def factors_solver(data: Data, dim: int, seed: int) -> Callable[[Setting], Linear]:
    """Factors shared by each picture and the mean of its captions; ridge maps new vectors of either kind to them."""
    m = data.moments
    counts = np.bincount(data.owner, data.weights, len(data.images))
    x = (data.images - m.mean_x) / np.sqrt(np.trace(m.xx))
    means = np.zeros((len(x), data.texts.shape[1]))
    np.add.at(means, data.owner, data.weights[:, None] * (data.texts - m.mean_y))
    y = means / counts[:, None] / np.sqrt(np.trace(m.yy))
    narrow = min(dim, len(x), x.shape[1])
    found = cache(lambda balance, alpha: shared_factors(x, y, narrow, balance, alpha, seed))

    def solve(setting: Setting) -> Linear:
        factors = found(setting["balance"], setting["alpha"]).astype(np.float32)
        of_images = replace(data, texts=factors, owner=np.arange(len(x)), weights=np.ones(len(x), np.float32)).moments
        of_texts = moments(factors, data.texts, data.owner, data.weights)
        a, b = ridge(of_images, setting["load"]), ridge(of_texts.swapped, setting["load"])
        return _two(m, a, b)

    return solve


def kernel_solver(data: Data, dim: int, seed: int) -> Callable[[Setting], Linear]:
    """Images by a radial kernel into the texts' space: kernel ridge to the mean of each picture's captions."""
    m = data.moments
    counts = np.bincount(data.owner, data.weights, len(data.images))
    targets = np.zeros((len(data.images), data.texts.shape[1]))
    np.add.at(targets, data.owner, data.weights[:, None] * (data.texts - m.mean_y))
    targets /= counts[:, None]
    marks, rows = landmarks(data.images, seed)
    far = distances(torch.from_numpy(data.images), torch.from_numpy(marks), "rbf").numpy().astype(np.float64)
    scale = max(float(far.mean()), 1e-12)

    @cache
    def grams(gamma: float) -> tuple[Array, Array]:
        kernel = np.exp(-gamma / scale * far)
        return kernel, kernel if len(rows) == len(kernel) else kernel[rows]

    def solve(setting: Setting) -> Linear:
        kernel, among = grams(setting["gamma"])
        weights = kernel_ridge(kernel, among, targets, setting["alpha"])
        image = {"matrix": weights, "mean": np.zeros(len(weights)), "kernel": "rbf", "landmarks": marks,
                 "gamma": setting["gamma"] / scale}  # fmt: skip
        text = {"matrix": np.eye(len(m.mean_y)), "mean": m.mean_y}
        return linear({Modality.IMAGE: image, Modality.TEXT: text})

    return solve


def landmarks(x: F32, seed: int, most: int = LANDMARKS) -> tuple[F32, I64]:
    """Rows for a kernel to compare with, drawn evenly (Williams and Seeger 2001), and which they are; all when few."""
    if len(x) <= most:
        return x, np.arange(len(x))
    rows = np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))
    return x[rows], rows


def _two(m: Moments, a: Array, b: Array) -> Linear:
    return linear({Modality.IMAGE: {"mean": m.mean_x, "matrix": a}, Modality.TEXT: {"mean": m.mean_y, "matrix": b}})


RIDGE = ClosedForm(ridge_solver, [{"to": to, "alpha": a} for to in ("texts", "images") for a in (0.01, 0.1, 1.0, 10.0)])
CCA = ClosedForm(cca_solver, [{"alpha": a, "power": p} for a in (0.03, 0.1, 0.3, 1.0) for p in (0.0, 1.0, 2.0)])
FACTORS = ClosedForm(
    factors_solver,
    [{"balance": b, "alpha": a, "load": load} for b in (1.0, 4.0) for a in (1e-3, 1e-2) for load in (0.1, 1.0)],
)
KERNEL = ClosedForm(kernel_solver, [{"gamma": g, "alpha": a} for g in (0.5, 1.0) for a in (0.1, 1.0, 10.0)])
