"""Heads by closed forms over categories: each side learns class posteriors; settings are chosen by cross-validation."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
import torch
from scipy.special import log_softmax

from engine.aligners import Aligner
from engine.aligners.linear import Kernel, distances, powered
from engine.errors import InvalidInput
from engine.types import F32, I64, Array, Modality
from indexer.heads.closed_forms import KERNEL, Data, data_of, landmarks, linear
from indexer.objectives.closed_form import cca, kernel_ridge, logistic
from indexer.train import TrainingReport

if TYPE_CHECKING:
    from indexer.heads.tasks import Task

_FOLDS = 5
_PENALTIES = (0.01, 0.1, 1.0)
_GAMMAS, _ALPHAS = (1.0, 2.0), (0.3, 1.0, 3.0)


@dataclass(frozen=True, slots=True)
class Labelled:
    """One side's vectors (n, d) with their classes (n,), and the fold (n,) of each; a picture's captions share one.

    weights: (n,) how much each counts, above 0.
    """

    x: F32
    classes: I64
    folds: I64
    weights: F32
    count: int

    @property
    def splits(self) -> Iterator[tuple[I64, I64]]:
        """Rows to learn from and rows to judge by."""
        for fold in range(_FOLDS):
            yield np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)


@dataclass(frozen=True, slots=True)
class Learned:
    """A side as `linear` takes it, and by cross-validation the mean negative log posterior of the true class."""

    loss: float
    side: Mapping[str, Any]
    said: str


def semantic(task: "Task") -> tuple[Aligner, TrainingReport]:
    """Semantic matching: multinomial logistic regression on each side, of vectors, of their roots, or of CCA's variates
    (Rasiwasia et al. 2010's SM and SCM), whichever gives the likelier classes."""
    started = time.monotonic()
    data, images, texts = _labelled(task)
    m = data.moments
    a, b, _ = cca(m, 0.01, min(task.settings.dim, *m.xy.shape))
    learned = {
        Modality.IMAGE: _best([_logistic(images, power) for power in (1.0, 0.5)] + [_logistic(images, 1.0, a)]),
        Modality.TEXT: _best([_logistic(texts, power) for power in (1.0, 0.5)] + [_logistic(texts, 1.0, b)]),
    }
    return _finished(task, learned, images.count, started)


def kernel_ridge_head(task: "Task") -> tuple[Aligner, TrainingReport]:
    """Kernel ridge to the classes where there are categories, tempered to posteriors; else to the texts' space."""
    if task.train.categories is None or len(np.unique(_known(task.train.categories))) < 2:
        return KERNEL(task)
    started = time.monotonic()
    _, images, texts = _labelled(task)
    seed = task.settings.seed
    learned = {Modality.IMAGE: _kernel(images, seed), Modality.TEXT: _kernel(texts, seed)}
    return _finished(task, learned, images.count, started)


def _labelled(task: "Task") -> tuple[Data, Labelled, Labelled]:
    """The pairs, and each side's vectors whose category is known. Raises InvalidInput when there are not two.

    A text that is no pair shares no category with the picture it was called wrong for.
    """
    data, categories, pairs = data_of(task), task.train.categories, task.train
    if categories is None:
        raise InvalidInput(
            "this method learns from categories, and the library has none: choose one that needs pairs alone"
        )
    names, classes = np.unique(categories, return_inverse=True)
    classes = classes - (names < 0).sum()  # the unknown become negative
    count = int(classes.max(initial=-1)) + 1
    if count < 2:
        raise InvalidInput(f"{count} categories are known among the training pictures: at least two are needed")
    order = np.random.default_rng(task.settings.seed).permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    folds = np.empty(len(classes), np.int64)
    folds[order] = np.arange(len(order)) % _FOLDS  # every fold has its share of every class
    sides = []
    even = np.ones(len(pairs), np.float32)
    for x, rows, weights in (
        (pairs.images.astype(np.float32), np.arange(len(pairs)), even),
        (task.texts.train.numpy(), pairs.owner, pairs.weights),
    ):
        known = (classes[rows] >= 0) & (weights > 0)
        sides.append(Labelled(x[known], classes[rows][known], folds[rows][known], weights[known], count))
    return data, sides[0], sides[1]


def _logistic(data: Labelled, power: float, onto: Array | None = None) -> Learned:
    """Features are standardised, and so one penalty fits all; `onto` (d, k) maps them first."""
    x = powered(torch.from_numpy(data.x), power).numpy().astype(np.float64)
    mean = x.mean(axis=0)
    onto = np.eye(x.shape[1]) if onto is None else onto
    spread = ((x - mean) @ onto).std(axis=0)
    onto = onto[:, spread > 1e-9] / spread[spread > 1e-9]
    z = (x - mean) @ onto
    losses = []
    for penalty in _PENALTIES:
        scores = np.empty((len(z), data.count))
        for learn, judge in data.splits:
            weights, bias = logistic(z[learn], data.classes[learn], data.weights[learn], data.count, penalty)
            scores[judge] = z[judge] @ weights + bias
        losses.append(_loss(scores, data))
    penalty = _PENALTIES[int(np.argmin(losses))]
    weights, bias = logistic(z, data.classes, data.weights, data.count, penalty)
    side = {"power": power, "mean": mean, "matrix": onto @ weights, "bias": bias}
    return Learned(min(losses), side, f"power {power}, penalty {penalty}, {z.shape[1]} features")


def _kernel(data: Labelled, seed: int) -> Learned:
    marks, rows = landmarks(data.x, seed, 4096)
    chosen = Labelled(marks, data.classes[rows], data.folds[rows], data.weights[rows], data.count)
    kernels: tuple[Kernel, ...] = ("chi2", "rbf") if _histograms(data.x) else ("rbf",)
    learned = _best([_one_kernel(chosen, kernel) for kernel in kernels])
    if len(rows) == len(data.x):
        return learned
    side = dict(learned.side)
    far = distances(torch.from_numpy(data.x), torch.from_numpy(marks), side["kernel"]).numpy().astype(np.float64)
    kernel = np.exp(-side["gamma"] * far)
    targets, frequency = _targets(data.classes, data.weights, data.count)
    weights = kernel_ridge(kernel, kernel[rows], targets, side["alpha"], data.weights)
    side |= {"matrix": side["temper"] * weights, "bias": side["temper"] * frequency}
    return Learned(learned.loss, side, learned.said)


def _one_kernel(data: Labelled, kernel: Kernel) -> Learned:
    """The width and the ridge with the likeliest classes; scores times `temper` are the softmax's logits."""
    x = torch.from_numpy(data.x)
    far = distances(x, x, kernel).numpy().astype(np.float64)
    scale = max(float(far.mean()), 1e-12)
    found: list[tuple[float, float, float, float]] = []
    for gamma in _GAMMAS:
        gram = np.exp(-gamma / scale * far)
        for alpha in _ALPHAS:
            scores = np.empty((len(x), data.count))
            for learn, judge in data.splits:
                weights, among = data.weights[learn], gram[np.ix_(learn, learn)]
                targets, frequency = _targets(data.classes[learn], weights, data.count)
                solved = kernel_ridge(among, among, targets, alpha, weights)
                scores[judge] = gram[np.ix_(judge, learn)] @ solved + frequency
            best = scipy.optimize.minimize_scalar(
                lambda log, scores=scores: _loss(np.exp(log) * scores, data), bounds=(-1, 5), method="bounded"
            )
            found.append((float(best.fun), gamma, alpha, float(np.exp(best.x))))
    loss, gamma, alpha, temper = min(found)
    gram = np.exp(-gamma / scale * far)
    targets, frequency = _targets(data.classes, data.weights, data.count)
    side = {"kernel": kernel, "landmarks": data.x, "gamma": gamma / scale, "bias": temper * frequency,
            "matrix": temper * kernel_ridge(gram, gram, targets, alpha, data.weights),
            "alpha": alpha, "temper": temper}  # fmt: skip
    return Learned(loss, side, f"{kernel}, width {gamma}, ridge {alpha}, temper {temper:.2f}")


def _targets(classes: I64, weights: F32, count: int) -> tuple[Array, Array]:
    """Rows of ones at their class (n, count), less their mean (count,) by weight."""
    ones = np.eye(count)[classes]
    frequency = np.average(ones, axis=0, weights=weights)
    return ones - frequency, frequency


def _loss(logits: Array, data: Labelled) -> float:
    losses = -log_softmax(logits, axis=1)[np.arange(len(logits)), data.classes]
    return float(np.average(losses, weights=data.weights))


def _best(learned: Sequence[Learned]) -> Learned:
    return min(learned, key=lambda one: one.loss)


def _histograms(x: F32) -> bool:
    """Whether rows are shares of a whole, which χ² compares better than distance does."""
    return bool((x >= 0).all() and np.allclose(x.sum(axis=1), 1, atol=1e-2))


def _known(categories: I64) -> I64:
    return categories[categories >= 0]


def _finished(
    task: "Task", learned: Mapping[Modality, Learned], classes: int, started: float
) -> tuple[Aligner, TrainingReport]:
    aligner = linear({modality: one.side for modality, one in learned.items()}, classes)
    figures = {f"{modality}_log_loss": one.loss for modality, one in learned.items()}
    task.hear(figures, 1, 1)
    return aligner, TrainingReport(best=figures, seconds=time.monotonic() - started)
