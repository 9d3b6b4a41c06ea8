"""Each objective's loss against its formula written out, on cases small enough to do so."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.aligners import Aligner, Identity
from engine.aligners.fusion import Fusion
from engine.aligners.towers import Towers
from engine.config import HeadSettings
from engine.types import Modality
from indexer.heads.gradients import Recipe
from indexer.heads.methods import METHODS
from indexer.heads.stored_pairs import StoredPairs
from indexer.heads.tasks import Task, TextsOf
from indexer.objectives import Batch, Objective
from indexer.objectives.adversarial import FeatureGAN, ModalityDiscriminator, Reversed
from indexer.objectives.fused import FusedNCE, couples
from indexer.objectives.hashing import Binarised, correlation
from indexer.objectives.ranking import MARKED_WRONG, InfoNCE, Siamese, Sigmoid, SupervisedNCE, Triplet
from indexer.objectives.reconstruction import (
    CorrespondenceAutoencoder,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
    divergence,
)
from tests.conftest import silent
from tests.pairs_of_points import QUICK, point_pairs, same_weights

OWNER = torch.tensor([0, 0, 1, 2, 2])
GRADIENT = [name for name, method in METHODS.items() if isinstance(method.fit, Recipe)]
CLOSED = [name for name in METHODS if name not in GRADIENT]
WIDTHS = {Modality.IMAGE: 6, Modality.TEXT: 5}


def scored(**changes: Any) -> tuple[Batch, Tensor, list[int]]:
    """Three images and five texts in one space of 4: the batch, all scores (5, 3), each text's image."""
    rng = torch.Generator().manual_seed(0)
    images, texts = (F.normalize(torch.randn(n, 4, generator=rng), dim=-1) for n in (3, 5))
    batch = Batch({Modality.IMAGE: images, Modality.TEXT: texts}, OWNER, **changes)
    return batch, texts @ images.T, OWNER.tolist()


def loss_of(objective: Objective, batch: Batch) -> float:
    return float(objective(Identity(4), batch)["loss"].item())


def test_sigmoid_judges_every_pair_by_itself() -> None:
    batch, scores, owner = scored()
    total = 0.0
    for j, i in enumerate(owner):
        for k in range(3):
            sign = 1 if k == i else -1
            total -= math.log(1 / (1 + math.exp(-sign * (10 * scores[j, k].item() - 10))))
    assert loss_of(Sigmoid(), batch) == pytest.approx(total / 5, rel=1e-5)


@pytest.mark.parametrize("hardest", [True, False])
def test_triplet_takes_the_hardest_wrong_answer_after_a_gentle_start(hardest: bool) -> None:
    batch, scores, owner = scored()
    total = 0.0
    for j, i in enumerate(owner):
        images = [max(0.0, 0.2 + scores[j, k].item() - scores[j, i].item()) * (k != i) for k in range(3)]
        texts = [max(0.0, 0.2 + (scores[k, i] - scores[j, i]).item()) * (owner[k] != i) for k in range(5)]
        total += max(images) + max(texts) if hardest else sum(images) / 3 + sum(texts) / 5
    assert loss_of(Triplet(gentle=0 if hardest else 9), batch) == pytest.approx(total / 5, rel=1e-5)


def test_siamese_draws_pairs_near_and_pushes_others_past_the_margin() -> None:
    batch, scores, owner = scored()
    total = 0.0
    for j, i in enumerate(owner):
        distances = [math.sqrt(2 - 2 * s.item()) for s in scores[j]]
        violations = [max(0.0, 1.5 - d) for k, d in enumerate(distances) if k != i]
        total += distances[i] ** 2 + sum(v**2 for v in violations) / max(1, sum(v > 0 for v in violations))
    assert loss_of(Siamese(margin=1.5), batch) == pytest.approx(total / 5, rel=1e-5)


def test_supervised_shares_the_right_answers_evenly() -> None:
    batch, scores, owner = scored(categories=torch.tensor([4, -1, 4]))
    right = [[0, 2] if i != 1 else [1] for i in owner]
    scaled = scores / 0.07
    by_text = [-(scaled[j].log_softmax(0)[right[j]]).mean().item() for j in range(5)]
    by_image = []
    for k in range(3):
        mine = [j for j in range(5) if k in right[j]]
        by_image.append(-(scaled[:, k].log_softmax(0)[mine]).mean().item())
    expected = (sum(by_text) / 5 + sum(by_image) / 3) / 2
    assert loss_of(SupervisedNCE(), batch) == pytest.approx(expected, rel=1e-5)


def test_info_nce_counts_weights_and_marked_answers() -> None:
    weights, negatives = torch.tensor([1.0, 2.0, 1.0, 0.0, 3.0]), torch.tensor([[1, 2]])
    batch, scores, owner = scored(weights=weights, negatives=negatives)
    scaled = scores / 0.07
    scaled[1, 2] += math.log(MARKED_WRONG)
    total = 0.0
    for j, i in enumerate(owner):
        others = [k for k in range(5) if owner[k] != i or k == j or weights[k] == 0]  # text 3 is no pair of image 2
        loss = torch.logsumexp(scaled[j], 0) + torch.logsumexp(scaled[others, i], 0) - 2 * scaled[j, i]
        total += weights[j].item() * loss.item()
    assert loss_of(InfoNCE(), batch) == pytest.approx(total / 2 / 7, rel=1e-5)


@pytest.mark.parametrize("objective", [Sigmoid(), Triplet(gentle=0), Siamese(1.5), SupervisedNCE(), InfoNCE()])
def test_a_text_that_is_no_pair_draws_nothing_near(objective: Objective) -> None:
    """Its own direction's loss must not fall when it comes nearer to the image it was called bad for."""
    batch, *_ = scored(weights=torch.tensor([1.0, 1, 1, 0, 1]), negatives=torch.tensor([[3, 2]]))
    texts = batch.inputs[Modality.TEXT].clone().requires_grad_()
    loss: Tensor = objective(Identity(4), Batch({**batch.inputs, Modality.TEXT: texts}, OWNER, batch.weights))["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    assert texts.grad is not None and torch.isfinite(texts.grad).all()
    toward = (texts.grad[3] * batch.inputs[Modality.IMAGE][2]).sum()
    assert toward >= -1e-6  # a step down the gradient moves it away, or not at all


def test_siamese_pushes_a_marked_pair_past_the_margin() -> None:
    images = F.normalize(torch.tensor([[1.0, 0], [-1, 0.1]]), dim=-1)
    texts = F.normalize(torch.tensor([[1.0, 0], [-1, 0], [1, 0.5]]), dim=-1).requires_grad_()
    batch = Batch({}, torch.tensor([0, 1, 0]), torch.tensor([2.0, 1, 0]), torch.tensor([[2, 0]]))
    loss = Siamese().rank(images, texts, batch)["loss"]
    apart = [math.sqrt(2 - 2 * s) for s in (texts * images[batch.owner]).sum(1).tolist()]
    far = (0.8 - apart[2]) ** 2 / 3  # of all wrong answers this alone is within the margin
    assert loss.item() == pytest.approx((2 * apart[0] ** 2 + apart[1] ** 2) / 3 + far, rel=1e-3, abs=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert texts.grad is not None and (texts.grad[2] * images[0]).sum() > 1e-3


def marked_task(method: str, bad: bool) -> Task:
    """33 pictures, the last without captions; bad: a query is marked bad for the first picture, and one for the last.

    The queries lie where captions of these pictures do, so that what counts them as pairs draws them near.
    """
    (pairs, texts, _), aside = point_pairs(33, 1), point_pairs(16, 2)
    rows = torch.tensor([*range(64), 40, 64] if bad else range(64))
    owner = np.array([*np.repeat(np.arange(32), 2), *([0, 32] if bad else [])])
    weights = np.array([1] * 64 + [0] * (len(rows) - 64), np.float32)
    wrong = np.array([[64, 0], [65, 32]] if bad else np.empty((0, 2)), np.int64)
    train = StoredPairs(pairs.images, None, ("",) * len(rows), owner, pairs.categories, weights, wrong)
    changes: dict[str, Any] = {**QUICK, "dropout": 0.0}
    settings = HeadSettings(method=method, **changes)
    given = TextsOf(texts[rows], aside[1])
    return Task(train, aside[0], given, None, settings, torch.device("cpu"), Path("unused"), method, silent)


def made(name: str, task: Task) -> tuple[Aligner, Objective]:
    recipe = METHODS[name].fit
    assert isinstance(recipe, Recipe)
    torch.manual_seed(0)
    aligner = recipe.aligner(task)
    aligner.learn_inputs({Modality.IMAGE: torch.from_numpy(task.train.images), Modality.TEXT: task.texts.train[:64]})
    return aligner, recipe.objective(task, aligner)


def whole(task: Task) -> Batch:
    """All pairs as one batch."""
    pairs, negatives = task.train, torch.from_numpy(task.train.negatives)
    return Batch(
        {Modality.IMAGE: torch.from_numpy(pairs.images), Modality.TEXT: task.texts.train},
        torch.from_numpy(pairs.owner),
        torch.from_numpy(pairs.weights) if len(negatives) else None,
        negatives if len(negatives) else None,
        torch.from_numpy(np.asarray(pairs.categories)),
    )


@pytest.mark.parametrize("name", GRADIENT)
def test_a_bad_mark_brings_its_pair_no_nearer_than_no_mark(name: str) -> None:
    cosines = []
    for bad in (True, False):
        aligner, objective = made(name, marked_task(name, bad))
        batch, everything = whole(marked_task(name, bad)), whole(marked_task(name, True))
        optimizer = torch.optim.SGD([*aligner.parameters(), *objective.parameters()], 0.02)
        for _ in range(20):
            optimizer.zero_grad()
            objective(aligner, batch)["loss"].backward()
            optimizer.step()
        images, texts = (aligner.project(everything.inputs[m], m) for m in WIDTHS)
        cosines.append((texts[64:] * images[[0, 32]]).sum(1))
    assert (cosines[0] <= cosines[1] + 1e-3).all()  # other pairs move a little too


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_form_solves_for_pairs_alone(name: str) -> None:
    (first, _), (second, _) = (METHODS[name].fit(marked_task(name, bad)) for bad in (True, False))
    assert same_weights(first, second)


@pytest.mark.parametrize("name", ["autoencoder", "vae", "vqvae", "gan"])
def test_what_makes_one_side_from_the_other_does_so_for_pairs_alone(name: str) -> None:
    losses = []
    for bad in (True, False):
        aligner, objective = made(name, marked_task(name, bad))
        losses.append(objective(aligner, whole(marked_task(name, bad)))["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("name", ["matrix-factorization", "kernel-ridge"])
def test_a_picture_known_by_a_bad_mark_alone_is_no_target(name: str) -> None:
    known, few = marked_task(name, True), marked_task(name, False)
    known = replace(known, train=replace(known.train, categories=None))
    few = replace(few, train=replace(few.train.of(np.arange(32)), categories=None))
    assert same_weights(METHODS[name].fit(known)[0], METHODS[name].fit(few)[0])


@pytest.mark.parametrize("name", GRADIENT)
def test_every_objective_learns_under_autocast(name: str) -> None:
    task = marked_task(name, True)
    aligner, objective = made(name, task)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(aligner, whole(task))["loss"]
    loss.backward()
    gradients = [p.grad for p in aligner.parameters() if p.grad is not None]
    assert torch.isfinite(loss) and gradients and all(torch.isfinite(gradient).all() for gradient in gradients)


def towers(dim: int = 8, **changes: Any) -> Towers:
    torch.manual_seed(0)
    specs = {str(m): {"kind": "vectors", "input": width} for m, width in WIDTHS.items()}
    return Towers(dim, specs, **changes)


def vectors(count: int = 12) -> Batch:
    rng = torch.Generator().manual_seed(1)
    texts = torch.randn(2 * count, 5, generator=rng)
    images = torch.randn(count, 6, generator=rng)
    return Batch({Modality.IMAGE: images, Modality.TEXT: texts}, torch.arange(count).repeat_interleave(2))


def test_the_autoencoder_gives_both_inputs_from_either_code() -> None:
    aligner, batch, objective = towers(), vectors(), CorrespondenceAutoencoder(8, 16, WIDTHS)
    parts = objective(aligner, batch)
    error = 0.0
    targets = {m: F.normalize(x, dim=-1) for m, x in batch.inputs.items()}  # nothing was counted: mean 0, deviation 1
    for modality in WIDTHS:
        code = aligner.embed(batch.inputs[modality], modality)
        for other, target in targets.items():
            rows = code[batch.owner] if modality is Modality.IMAGE else code
            wanted = target[batch.owner] if other is Modality.IMAGE else target
            error += (objective.decoders[other](rows) - wanted).square().mean().item()
    assert parts["reconstruction"].item() == pytest.approx(error, rel=1e-5)
    expected = 0.2 * error + 0.8 * parts["correspondence"].item()
    assert parts["loss"].item() == pytest.approx(expected, rel=1e-5)
    a = torch.tensor([[1.0, 1], [-1, 1], [1, -1], [-1, -1]])
    assert objective.correspondence(a, a).item() == pytest.approx(0, abs=1e-6)
    twice, weights = torch.cat([a, a[:1]]), torch.tensor([2.0, 1, 1, 1])
    assert objective.correspondence(a, -a, weights).item() == pytest.approx(
        objective.correspondence(twice, -twice).item()
    )
    assert objective.correspondence(a, -a).item() == pytest.approx(4)


def test_the_product_of_experts_weighs_by_precision_with_the_prior() -> None:
    objective = VariationalAutoencoder(2, 4, WIDTHS)
    for layer, log_variance in zip(objective.log_variances.values(), (0.0, math.log(0.25)), strict=True):
        torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        torch.nn.init.constant_(layer.bias, log_variance)  # type: ignore[arg-type]
    codes = {Modality.IMAGE: torch.tensor([[3.0, 0]]), Modality.TEXT: torch.tensor([[6.0, 3]])}
    mean, variance = objective.posterior(codes)  # precisions 1 (the prior), 1 and 4
    torch.testing.assert_close(mean, torch.tensor([[4.5, 2.0]]))
    torch.testing.assert_close(variance, torch.full((1, 2), 1 / 6))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(divergence(mean, variance), expected)


@pytest.mark.parametrize("missing", list(WIDTHS))
def test_reconstruction_learns_from_any_subset_of_modalities(missing: Modality) -> None:
    batch = vectors()
    present = Batch({m: x for m, x in batch.inputs.items() if m is not missing}, batch.owner)
    for kind in (CorrespondenceAutoencoder, VariationalAutoencoder, VectorQuantizedAutoencoder):
        aligner = towers(32)
        loss = kind(32, 16, WIDTHS)(aligner, present)["loss"]
        loss.backward()
        there = next(iter(present.inputs))
        assert aligner.readers[there].map.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]
        assert aligner.readers[missing].map.weight.grad is None  # type: ignore[union-attr]


@pytest.mark.parametrize("half", [False, True])
def test_codes_follow_what_falls_to_them_and_dead_ones_begin_again(half: bool) -> None:
    torch.manual_seed(0)
    objective = VectorQuantizedAutoencoder(4, 8, WIDTHS, groups=2, size=4, decay=0.5)
    objective.book.codes.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 9], [0, -9]]))
    objective.sums.copy_(objective.book.codes)
    parts = torch.tensor([[2.001, 0], [2.001, 0], [-3, 0]])  # the first are not in bfloat16
    with torch.autocast("cpu", torch.bfloat16, half):
        objective.follow(parts)
    assert objective.counts.tolist() == [1.5, 1.0, 0.5, 0.5]
    torch.testing.assert_close(objective.book.codes[:2], torch.tensor([[2.501 / 1.5, 0], [-2.0, 0]]))
    for _ in range(12):
        objective.follow(parts)
    assert all(any(torch.dist(code, part) < 0.2 for part in parts) for code in objective.book.codes)


def test_quantisation_takes_the_nearest_code_and_lets_gradients_through() -> None:
    objective, aligner, batch = VectorQuantizedAutoencoder(8, 8, WIDTHS, groups=4, size=5), towers(), vectors()
    code = aligner.embed(batch.inputs[Modality.TEXT], Modality.TEXT)
    quantized = objective.book(code)
    for part, chosen in zip(code.reshape(-1, 2), quantized.reshape(-1, 2), strict=True):
        assert torch.equal(chosen, objective.book.codes[(objective.book.codes - part).norm(dim=1).argmin()])
    objective.commitment = 0.0
    objective(aligner, batch)["loss"].backward()
    assert aligner.readers["text"].map.weight.grad.abs().sum() > 0  # type: ignore[union-attr, operator]
    assert objective.perplexity(torch.tensor([0, 1, 2, 3])).item() == pytest.approx(4)
    assert objective.perplexity(torch.tensor([2, 2, 2])).item() == pytest.approx(1)


def test_the_reversed_gradient_is_turned_and_scaled() -> None:
    x = torch.tensor([2.0, -1.0], requires_grad=True)
    y = Reversed.apply(x, 0.5)
    assert torch.equal(y, x)
    (y * torch.tensor([1.0, 3.0])).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [-0.5, -1.5]


@pytest.mark.parametrize("known", [True, False])
def test_the_modality_discriminator_learns_what_the_towers_unlearn(known: bool) -> None:
    batch, *_ = scored(categories=torch.tensor([0, 1, -1]) if known else None)
    objective = ModalityDiscriminator(4, 2 if known else 0, adversary=0.5, label=2.0)
    images, texts = (batch.inputs[m].requires_grad_() for m in WIDTHS)
    loss = objective(Identity(4), batch)["loss"]
    x, y = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    rest = Triplet(by_category=True).rank(x, y, batch)["loss"]
    told = -sum(objective.discriminator(z).log_softmax(1)[:, n].mean() for n, z in enumerate((x, y))) / 2
    if objective.classifier is not None:
        posteriors = objective.classifier(10 * torch.cat([x[:2], y[:3]])).log_softmax(1)  # the others' is not known
        rest = rest - 2 * posteriors.gather(1, torch.tensor([[0], [1], [0], [0], [1]])).mean()
    assert loss.item() == pytest.approx((rest + told).item(), rel=1e-5)
    torch.testing.assert_close(gradients(loss, images, texts), gradients(rest - 0.5 * told, images, texts))
    learned = list(objective.discriminator.parameters())
    torch.testing.assert_close(gradients(loss, *learned), gradients(told, *learned))


def gradients(value: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value, inputs, retain_graph=True)


def test_the_modality_discriminator_takes_a_batch_of_which_no_category_is_known() -> None:
    batch, *_ = scored(categories=torch.full((3,), -1))
    parts = ModalityDiscriminator(4, 2)(Identity(4), batch)
    assert parts["labelled"] == 0 and torch.isfinite(parts["loss"])


def test_the_generator_s_loss_leaves_the_discriminator_alone() -> None:
    torch.manual_seed(0)
    specs = {"image": {"kind": "fixed", "input": 6, "compress": False}, "text": {"kind": "vectors", "input": 5}}
    aligner = Towers(6, specs, code=8, tails={"text": {"width": 8, "groups": 1, "size": 0}})
    objective, batch = FeatureGAN(8, 6, 8), vectors()
    objective._judge(torch.randn(3, 6), torch.randn(3, 8), still=True).sum()
    parts = objective(aligner, batch)
    parts["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (*aligner.parameters(), *objective.parameters()))
    still = objective._judge(torch.randn(3, 6, requires_grad=True), torch.randn(3, 8), still=True).sum()
    inner = torch.autograd.grad(still, list(objective.discriminator.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in inner)


def test_hashing_adds_quantisation_balance_and_decorrelation() -> None:
    aligner, batch = towers(), vectors()
    objective = Binarised(quantisation=0.3, balance=0.2, decorrelation=0.1)
    parts = objective(aligner, batch)
    codes = [aligner.embed(batch.inputs[m], m).tanh() for m in WIDTHS]
    quantisation = sum((1 - u.abs()).square().mean() for u in codes) / 2
    balance = sum(u.mean(0).square().mean() for u in codes) / 2
    ranked = InfoNCE().rank(F.normalize(codes[0], dim=-1), F.normalize(codes[1], dim=-1), batch)["loss"]
    expected = ranked + 0.3 * quantisation + 0.2 * balance + 0.1 * sum(correlation(u) for u in codes) / 2
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    bits = torch.tensor([[1.0, 1], [-1, 1], [1, -1], [-1, -1]])
    assert correlation(bits) == 0 and correlation(bits[:, [0, 0]]) == 0.5


def contrasted(x: Tensor, y: Tensor) -> Tensor:
    """InfoNCE of rows that belong together."""
    scores = x @ y.T / 0.07
    return -(scores.log_softmax(0).diagonal() + scores.log_softmax(1).diagonal()).mean() / 2


def test_fusion_is_trained_on_single_and_on_fused_items() -> None:
    torch.manual_seed(0)
    inputs = {str(m): {"kind": "vectors", "input": w, "compress": False, "slots": 2} for m, w in WIDTHS.items()}
    aligner, batch, objective = Fusion(8, inputs, width=16, latents=2), vectors(), FusedNCE(fused=0.5)
    parts = objective(aligner, batch)
    alone = InfoNCE.forward(objective, aligner, batch)["loss"]
    images, one, other = batch.inputs[Modality.IMAGE], *(batch.inputs[Modality.TEXT][n::2] for n in (0, 1))
    fused = aligner.fuse({Modality.IMAGE: images, Modality.TEXT: one})
    composed = contrasted(fused, aligner.project(other, Modality.TEXT))
    sets = aligner.project(torch.stack([one, other], 1), Modality.TEXT)
    described = contrasted(aligner.project(images, Modality.IMAGE), sets)
    expected = alone + 0.5 * (composed + described)
    assert parts["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    parts["loss"].backward()
    assert all(p.grad is not None for p in aligner.parameters())
    first, second = couples(Batch({}, torch.tensor([3, 1, 3, 2, 2, 2, 1]), torch.tensor([1.0, 1, 1, 1, 1, 1, 0])))
    assert (first.tolist(), second.tolist()) == ([3, 0], [4, 2])
