"""Closed forms against their textbook solutions, and the heads they make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.aligners import Aligner, Identity
from engine.aligners.linear import Kernel, Linear, similarities
from engine.config import HeadSettings
from engine.errors import ArtifactError, InvalidInput
from engine.heads import Head
from engine.types import F32, I64, Modality
from indexer.heads.closed_forms import Data, r10
from indexer.heads.judging import rank
from indexer.heads.methods import METHODS
from indexer.heads.stored_pairs import StoredPairs
from indexer.heads.tasks import Task, TextsOf
from indexer.objectives import closed_form


def made_pairs(pictures: int, each: int, seed: int, noise: float = 0.3, width: int = 12) -> StoredPairs:
    """Pictures and captions that share four hidden factors; the category is the strongest of three."""
    plan = np.random.default_rng(7)
    to_images, to_texts = plan.standard_normal((4, 16)), plan.standard_normal((4, width))
    rng = np.random.default_rng(seed)
    hidden, owner = rng.standard_normal((pictures, 4)), np.repeat(np.arange(pictures), each)
    images = hidden @ to_images + noise * rng.standard_normal((pictures, 16))
    texts = hidden[owner] @ to_texts + noise * rng.standard_normal((len(owner), width))
    weights, marks = np.ones(len(owner), np.float32), np.empty((0, 2), np.int64)
    categories = hidden[:, :3].argmax(axis=1)
    x, y = images.astype(np.float32), texts.astype(np.float32)
    return StoredPairs(x, y, ("",) * len(owner), owner, categories, weights, marks)


def task(train: StoredPairs, held_out: StoredPairs, tmp_path: Path, **settings: Any) -> Task:
    assert train.texts is not None and held_out.texts is not None
    texts = TextsOf(torch.from_numpy(train.texts), torch.from_numpy(held_out.texts))
    return Task(train, held_out, texts, None, HeadSettings(**{"dim": 8, **settings}), torch.device("cpu"),
                tmp_path / "checkpoint", "made", lambda figures, epoch, epochs: None)  # fmt: skip


def found(aligner: Aligner, pairs: StoredPairs) -> dict[str, float]:
    return rank(Head(aligner, {Modality.IMAGE: 16, Modality.TEXT: 12}), pairs).figures


def replaced(given: StoredPairs, **changes: Any) -> StoredPairs:
    fields = ("images", "texts", "words", "owner", "categories", "weights", "negatives")
    return StoredPairs(**{name: getattr(given, name) for name in fields} | changes)


@pytest.fixture(scope="module")
def known() -> tuple[F32, F32, I64]:
    made = made_pairs(90, 2, 0)
    assert made.texts is not None
    return made.images, made.texts, made.owner


def test_moments_are_those_of_the_repeated_pairs(known: tuple[F32, F32, I64], monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts, owner = known
    weights = np.random.default_rng(0).random(len(owner)).astype(np.float32)
    monkeypatch.setattr(closed_form, "_BLOCK", 17)
    m = closed_form.moments(images, texts, owner, weights)
    both = np.cov(np.hstack([images[owner], texts]).T.astype(np.float64), aweights=weights, ddof=0)
    np.testing.assert_allclose(m.xx, both[:16, :16], atol=1e-6)
    np.testing.assert_allclose(m.xy, both[:16, 16:], atol=1e-6)
    np.testing.assert_allclose(m.yy, both[16:, 16:], atol=1e-6)


def test_ridge_equals_scikit_learn(known: tuple[F32, F32, I64]) -> None:
    from sklearn.linear_model import Ridge

    images, texts, owner = known
    m = closed_form.moments(images, texts, owner, np.ones(len(owner), np.float32))
    theirs = Ridge(0.3 * np.trace(m.xx) / 16 * len(owner)).fit(images[owner].astype(np.float64), texts)
    np.testing.assert_allclose(closed_form.ridge(m, 0.3), theirs.coef_.T, atol=1e-5)


def test_cca_equals_scikit_learn_and_the_eigenproblem(known: tuple[F32, F32, I64]) -> None:
    from scipy.linalg import eigh
    from sklearn.cross_decomposition import CCA

    images, texts, owner = known
    m = closed_form.moments(images, texts, owner, np.ones(len(owner), np.float32))
    a, b, correlations = closed_form.cca(m, 0, 3)
    x, y = images[owner].astype(np.float64), texts.astype(np.float64)
    theirs = CCA(3, max_iter=5000, tol=1e-12).fit(x, y).transform(x, y)
    for ours, other in (((x - m.mean_x) @ a, theirs[0]), ((y - m.mean_y) @ b, theirs[1])):
        for column in range(3):
            assert abs(np.corrcoef(ours[:, column], other[:, column])[0, 1]) == pytest.approx(1, abs=1e-4)
    squares = eigh(m.xy @ np.linalg.solve(m.yy, m.xy.T), m.xx, eigvals_only=True)[::-1]
    np.testing.assert_allclose(correlations**2, squares[:3], atol=1e-6)


def test_cca_holds_with_fewer_pairs_than_dimensions() -> None:
    rng = np.random.default_rng(0)
    images, texts = (rng.standard_normal((20, 50)).astype(np.float32) for _ in range(2))
    m = closed_form.moments(images, texts, np.arange(20), np.ones(20, np.float32))
    a, b, correlations = closed_form.cca(m, 0.1, 8)
    assert np.isfinite(a).all() and np.isfinite(b).all() and (correlations < 1).all()


@pytest.mark.parametrize("few", [False, True])
def test_kernel_ridge_equals_scikit_learn(known: tuple[F32, F32, I64], few: bool) -> None:
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.metrics.pairwise import rbf_kernel

    x, targets = known[0].astype(np.float64), known[1][::2].astype(np.float64)
    gram = rbf_kernel(x, gamma=0.02)
    if few:
        part, among = gram[:, :30], gram[:30, :30]
        weights = closed_form.kernel_ridge(part, among, targets, 0.5)
        residual = part.T @ (part @ weights - targets) + 0.5 * among @ weights  # the gradient of the loss
        assert np.abs(residual).max() < 1e-4
        twice = np.where(np.arange(len(part)) < 9, 2, 1)
        counted = closed_form.kernel_ridge(part, among, targets, 0.5, twice.astype(np.float32))
        repeated = closed_form.kernel_ridge(part.repeat(twice, 0), among, targets.repeat(twice, 0), 0.5)
        np.testing.assert_allclose(part @ counted, part @ repeated, atol=1e-5)
    else:
        rows = np.random.default_rng(0).choice([1.0, 2.0], len(gram)).astype(np.float32)
        theirs = KernelRidge(alpha=0.5, kernel="precomputed").fit(gram, targets).dual_coef_
        np.testing.assert_allclose(closed_form.kernel_ridge(gram, gram, targets, 0.5), theirs, atol=1e-8)
        theirs = KernelRidge(alpha=0.5, kernel="precomputed").fit(gram, targets, rows.astype(np.float64)).dual_coef_
        np.testing.assert_allclose(closed_form.kernel_ridge(gram, gram, targets, 0.5, rows), theirs, atol=1e-8)


@pytest.mark.parametrize("kernel", ["rbf", "chi2"])
def test_kernels_equal_scikit_learn(kernel: Kernel) -> None:
    from sklearn.metrics.pairwise import chi2_kernel, rbf_kernel

    rng = np.random.default_rng(0)
    x, y = rng.random((9, 20)).astype(np.float32), rng.random((7, 20)).astype(np.float32)
    x[:, 3] = y[:, 3] = 0
    theirs = {"rbf": rbf_kernel, "chi2": chi2_kernel}[kernel](x, y, gamma=0.3)
    np.testing.assert_allclose(similarities(torch.from_numpy(x), torch.from_numpy(y), kernel, 0.3), theirs, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_posteriors_equal_scikit_learn(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((80, 5)), np.arange(80) % classes
    rows = rng.choice([1.0, 2.0], 80).astype(np.float32)
    weights, bias = closed_form.logistic(x, labels, rows, classes, 0.7)
    ours = torch.from_numpy(x @ weights + bias).softmax(-1)
    np.testing.assert_allclose(
        ours, LogisticRegression(C=0.7, max_iter=2000).fit(x, labels, rows).predict_proba(x), atol=1e-6
    )


def test_shared_factors_are_a_stationary_point() -> None:
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((60, 3))
    x, y = factors @ rng.standard_normal((3, 10)), factors @ rng.standard_normal((3, 8))
    u = closed_form.shared_factors(x, y, 3, 2.0, 1e-6, 0)
    for whole in (x, y):
        rest = whole - u @ np.linalg.lstsq(u, whole, rcond=None)[0]
        assert np.abs(rest).max() < 1e-2


CLOSED = [name for name, method in METHODS.items() if method.family == "closed_form"]


@pytest.mark.parametrize("name", CLOSED)
def test_every_method_beats_chance_alike_each_time_and_is_read_back(name: str, tmp_path: Path) -> None:
    held_out = made_pairs(200, 2, 2)
    given = task(made_pairs(200, 2, 1), held_out, tmp_path)
    (aligner, report), (again, _) = (METHODS[name].fit(given) for _ in range(2))
    for weight, other in zip(aligner.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(weight, other)
    assert report.best and found(aligner, held_out)["r10"] > 0.1 and aligner.dim % 8 == 0  # 0.05 by chance, 3 classes
    Head(aligner, {Modality.IMAGE: 16, Modality.TEXT: 12}).save(tmp_path / "head", {})
    head = Head.load(tmp_path / "head")
    assert held_out.texts is not None
    rows = head.project(held_out.images, Modality.IMAGE)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.array_equal(rows, Head(aligner, head.dims).project(held_out.images, Modality.IMAGE))
    (tmp_path / "head" / "aligner.safetensors").write_bytes(b"cut")
    with pytest.raises(ArtifactError):
        Head.load(tmp_path / "head")


def test_posteriors_meet_as_the_probability_of_one_category(tmp_path: Path) -> None:
    judged = made_pairs(50, 1, 2)
    aligner, _ = METHODS["semantic"].fit(task(made_pairs(200, 1, 1), judged, tmp_path))
    assert isinstance(aligner, Linear) and aligner.classes == 3
    assert found(aligner, judged)["t2i_map"] > 0.6
    x = torch.from_numpy(made_pairs(5, 1, 3).images)
    y = torch.from_numpy(np.asarray(made_pairs(5, 1, 3).texts))
    p, q = aligner.sides["image"](x).softmax(-1), aligner.sides["text"](y).softmax(-1)
    meet = aligner.project(x, Modality.IMAGE) @ aligner.project(y, Modality.TEXT).T
    torch.testing.assert_close(meet, p @ q.T)


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("cca", {"images": np.full((40, 16), np.nan, np.float32)}, "40 picture vectors hold NaN"),
        ("ridge", {"images": np.ones((40, 16), np.float32)}, "all pictures are the same"),
        ("semantic", {"categories": None}, "the library has none"),
        ("semantic", {"categories": np.zeros(40, np.int64)}, "1 categories are known"),
        ("kernel-ridge", {"owner": np.arange(39)}, "40 captions are embedded but 39"),
    ],
)
def test_bad_pairs_are_refused_with_a_reason(
    method: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    good = made_pairs(40, 1, 0)
    with pytest.raises(InvalidInput, match=message):
        METHODS[method].fit(task(replaced(good, **changes), good, tmp_path))


def test_too_few_pairs_and_tokens_are_refused(tmp_path: Path) -> None:
    few, good = made_pairs(9, 1, 0), made_pairs(40, 1, 0)
    with pytest.raises(InvalidInput, match="at least 10"):
        METHODS["cca"].fit(task(few, good, tmp_path))
    tokens = TextsOf(torch.ones(40, 3, dtype=torch.int64), torch.ones(40, 3, dtype=torch.int64))
    given = task(good, good, tmp_path)
    fields = {name: getattr(given, name) for name in Task.__slots__}
    with pytest.raises(InvalidInput, match="not tokens"):
        METHODS["ridge"].fit(Task(**fields | {"texts": tokens}))


def test_a_constant_column_and_an_unknown_category_do_no_harm(tmp_path: Path) -> None:
    good = made_pairs(60, 1, 0)
    images, categories = good.images.copy(), np.asarray(good.categories).copy()
    images[:, 5], categories[:7] = 3, -1
    for name in CLOSED:
        aligner, _ = METHODS[name].fit(task(replaced(good, images=images, categories=categories), good, tmp_path))
        assert all(torch.isfinite(weight).all() for weight in aligner.state_dict().values())


def test_a_modality_not_trained_on_is_refused() -> None:
    with pytest.raises(InvalidInput, match="image and text, not on audio"):
        Linear(8, {"image": {"dim": 3}, "text": {"dim": 3}}).project(torch.zeros(1, 3), Modality.AUDIO)


def test_recall_at_ten_is_averaged_over_both_ways() -> None:
    """Every caption is its picture's but one, which is another's: 39 of 40 captions find, and 20 of 20 pictures."""
    images = np.eye(20, dtype=np.float32)
    texts = images.repeat(2, axis=0)
    texts[39] = -images[19] + 0.1 * images[:19].sum(axis=0)
    data = Data(images, texts, np.arange(20).repeat(2), np.ones(40, np.float32))
    assert r10(Identity(20), data) == pytest.approx((39 / 40 + 1) / 2)
