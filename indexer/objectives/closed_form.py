"""Closed forms: maps into the joint space that are solved for, not descended to. Solvers alone; `closed_heads` chooses.

All are in float64, from second moments added up in blocks, so that the number of pairs does not bound the memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from engine.errors import InvalidInput
from engine.types import F32, I64, Array

_BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and central second moments of weighted pairs: image x (a,), text y (b,); float64, divided by the weight."""

    mean_x: Array
    mean_y: Array
    xx: Array  # (a, a)
    xy: Array  # (a, b)
    yy: Array  # (b, b)

    @property
    def swapped(self) -> "Moments":
        """The same with texts as x and images as y."""
        return Moments(self.mean_y, self.mean_x, self.yy, self.xy.T, self.xx)


def moments(images: F32, texts: F32, owner: I64, weights: F32) -> Moments:
    """images (n, a), texts (m, b), owner (m,) the image of each text, weights (m,) of each pair.

    Raises InvalidInput when all images or all texts are the same.
    """
    total = weights.sum(dtype=np.float64)
    counts = np.bincount(owner, weights, len(images)) / total
    mean_x = sum((counts[at] @ x for at, x in _blocks(images)), np.zeros(images.shape[1]))
    mean_y = sum((weights[at] @ y for at, y in _blocks(texts)), np.zeros(texts.shape[1])) / total
    sums = np.zeros((len(images), texts.shape[1]))
    yy = np.zeros((texts.shape[1],) * 2)
    for at, y in _blocks(texts):
        share = (weights[at] / total)[:, None] * (y - mean_y)
        np.add.at(sums, owner[at], share)
        yy += share.T @ (y - mean_y)
    xx, xy = np.zeros((images.shape[1],) * 2), np.zeros((images.shape[1], texts.shape[1]))
    for at, x in _blocks(images):
        xx += (counts[at, None] * (x - mean_x)).T @ (x - mean_x)
        xy += (x - mean_x).T @ sums[at]
    for name, matrix in (("pictures", xx), ("captions", yy)):
        if not np.trace(matrix) > 1e-12:
            raise InvalidInput(f"the features of all {name} are the same: nothing can be learned from them")
    return Moments(mean_x, mean_y, xx, xy, yy)


def ridge(m: Moments, alpha: float) -> Array:
    """(a, b): (xx + λI)⁻¹ xy (Hoerl and Kennard 1970), with λ = alpha · the mean of xx's diagonal."""
    out: Array = scipy.linalg.solve(_loaded(m.xx, alpha), m.xy, assume_a="pos")
    return out


def cca(m: Moments, alpha: float, dim: int) -> tuple[Array, Array, Array]:
    """Directions (a, dim) of x and (b, dim) of y, and their correlations (dim,), the highest first.

    Hotelling 1936; xx and yy are loaded as ridge's are (Vinod 1976), and variates have unit loaded variance.
    """
    left = scipy.linalg.cholesky(_loaded(m.xx, alpha), lower=True)
    right = scipy.linalg.cholesky(_loaded(m.yy, alpha), lower=True)
    half = scipy.linalg.solve_triangular(left, m.xy, lower=True)
    whitened = scipy.linalg.solve_triangular(right, half.T, lower=True).T
    u, correlations, vt = scipy.linalg.svd(whitened, full_matrices=False)
    a = scipy.linalg.solve_triangular(left.T, u[:, :dim])
    b = scipy.linalg.solve_triangular(right.T, vt[:dim].T)
    return a, b, correlations[:dim]


def kernel_ridge(to_landmarks: Array, among: Array, targets: Array, alpha: float, rows: F32 | None = None) -> Array:
    """(k, c) weights of k landmarks, from K (n, k) of rows with them, K (k, k) among them, and targets (n, c).

    With every row a landmark, (K + αR⁻¹)⁻¹ Y (Saunders et al. 1998); else the Nyström form,
    (Kᵀ R K + α K_landmarks)⁻¹ Kᵀ R Y (Williams and Seeger 2001; Rudi et al. 2015). R: how much each row counts,
    `rows` (n,), None for 1 each.
    """
    counts = np.ones(len(targets)) if rows is None else rows.astype(np.float64)
    if to_landmarks is among:
        matrix, right = among + alpha * np.diag(1 / counts), targets
    else:
        counted = to_landmarks.T * counts
        matrix, right = counted @ to_landmarks + alpha * among, counted @ targets
        matrix += 1e-9 * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    out: Array = scipy.linalg.solve(matrix, right, assume_a="pos")
    return out


def shared_factors(x: Array, y: Array, dim: int, balance: float, alpha: float, seed: int, rounds: int = 12) -> Array:
    """(n, dim) factors U of the items in x ≈ UA and y ≈ UB, by alternating least squares.

    Collective matrix factorization (Singh and Gordon 2008, squared loss): |x - UA|² + balance·|y - UB|² +
    alpha·(|U|² + |A|² + |B|²), with x (n, a) and y (n, b) centred and scaled to one variance.
    """
    u = np.random.default_rng(seed).standard_normal((len(x), dim)) / np.sqrt(dim)
    loads = alpha * np.eye(dim)
    for _ in range(rounds):
        gram = u.T @ u
        a = scipy.linalg.solve(gram + loads, u.T @ x, assume_a="pos")
        b = scipy.linalg.solve(gram + loads / balance, u.T @ y, assume_a="pos")
        u = scipy.linalg.solve(a @ a.T + balance * b @ b.T + loads, a @ x.T + balance * b @ y.T, assume_a="pos").T
    out: Array = u
    return out


def logistic(x: Array, labels: I64, rows: F32, classes: int, penalty: float) -> tuple[Array, Array]:
    """Multinomial logistic regression: weights (d, classes), bias (classes,); 1 / penalty weighs |W|² / 2.

    rows: (n,) how much each row counts.

    Semantic matching's map to class posteriors (Rasiwasia et al. 2010). A class with no row has none.
    """
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=penalty, max_iter=2000).fit(x, labels, rows)
    weights, bias = np.zeros((x.shape[1], classes)), np.full(classes, -30.0)
    if len(model.classes_) == 2:  # one row of weights: the first class's are 0
        weights[:, model.classes_[1]], bias[model.classes_] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weights[:, model.classes_], bias[model.classes_] = model.coef_.T, model.intercept_
    return weights, bias


def _loaded(matrix: Array, alpha: float) -> Array:
    """With alpha times the mean of the diagonal added to it; never less than what keeps it positive definite."""
    load = max(alpha, 1e-9) * np.trace(matrix) / len(matrix)
    out: Array = matrix + load * np.eye(len(matrix))
    return out


def _blocks(x: F32) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(x), _BLOCK):
        yield slice(start, start + _BLOCK), x[start : start + _BLOCK].astype(np.float64)
