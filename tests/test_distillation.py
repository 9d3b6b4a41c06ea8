"""What a student is taught by, against the formulas written out; and the words it is taught with."""

import gzip
import math
import random
from pathlib import Path

import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.types import Modality
from indexer.objectives.distillation import ImageLesson, Lesson, PairLesson, TextLesson
from indexer.starter.words import varied, write_merges


class Given(Aligner):
    """Rows that are learned as they are: what an objective pulls them to is seen at once."""

    kind = "given"

    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self.dim, self.shape = dim, {}
        self.rows = nn.Parameter(torch.randn(2, rows, dim, generator=torch.Generator().manual_seed(0)))

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        return F.normalize(self.rows[int(modality is Modality.TEXT), x], dim=-1)

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.rows[0, x], self.project(x, Modality.IMAGE)


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def lesson(n: int = 6, d: int = 8) -> Lesson:
    rows, rng = torch.arange(n), torch.Generator().manual_seed(3)
    return Lesson(
        {Modality.IMAGE: rows, Modality.TEXT: rows},
        rows,
        targets=unit(n, d, seed=1),
        text_targets=unit(n, d, seed=4),
        anchors=unit(2 * n, d, seed=2),
        features=torch.randn(n, 5, generator=rng),
        logits=torch.randn(n, 4, generator=rng),
    )


def test_the_three_pulls_equal_their_formulas() -> None:
    aligner, given, objective = Given(6, 8), lesson(), TextLesson()
    parts = objective(aligner, given)
    rows = aligner.project(torch.arange(6), Modality.TEXT)
    assert given.targets is not None and given.anchors is not None
    near, order, own = 0.0, 0.0, 0.0
    for i in range(6):
        near += (1 - rows[i] @ given.targets[i]).item() / 6
        wanted = torch.softmax(20 * given.anchors @ given.targets[i], 0)
        told = torch.softmax(20 * given.anchors @ rows[i], 0)
        order += (wanted * (wanted.log() - told.log())).sum().item() / 6
        own -= torch.log_softmax(given.anchors @ rows[i] / 0.07, 0)[i].item() / 6
    assert parts["near"].item() == pytest.approx(near, rel=1e-4)
    assert parts["order"].item() == pytest.approx(order, rel=1e-4)
    assert parts["own"].item() == pytest.approx(own, rel=1e-4)
    assert parts["loss"].item() == pytest.approx(4 * near + order + 0.5 * own, rel=1e-4)


def test_features_and_soft_classes_equal_their_formulas() -> None:
    torch.manual_seed(0)
    aligner, given, objective = Given(6, 8), lesson(), ImageLesson(8, 5, 4, temperature=3.0)
    parts = objective(aligner, given)
    pooled, _ = aligner.look(torch.arange(6))
    assert given.features is not None and given.logits is not None
    assert parts["features"].item() == pytest.approx(
        (objective.to_features(pooled) - given.features).square().mean().item(), rel=1e-5
    )
    wanted, told = (torch.softmax(x / 3, 1) for x in (given.logits, objective.to_logits(pooled)))
    classes = 9 * (wanted * (wanted / told).log()).sum(1).mean().item()
    assert parts["classes"].item() == pytest.approx(classes, rel=1e-4)


@pytest.mark.parametrize("objective", [TextLesson(own=0.0), PairLesson(near=20.0)], ids=["texts", "pairs"])
def test_a_student_comes_to_where_its_teacher_is(objective: nn.Module) -> None:
    aligner, given = Given(6, 8), lesson()
    optimizer = torch.optim.Adam(aligner.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        objective(aligner, given)["loss"].backward()
        optimizer.step()
    rows, wanted = aligner.project(torch.arange(6), Modality.TEXT), given.targets
    if isinstance(objective, PairLesson):
        wanted = given.text_targets
    assert wanted is not None and (rows * wanted).sum(1).min() > 0.9


def test_pairs_are_learned_by_the_contrast_where_no_teacher_holds_them() -> None:
    aligner, given = Given(6, 8), lesson()
    parts = PairLesson(near=0.0)(aligner, given)
    images, texts = (aligner.project(torch.arange(6), m) for m in (Modality.IMAGE, Modality.TEXT))
    scores, same = texts @ images.T / 0.07, torch.arange(6)
    wanted = (F.cross_entropy(scores, same) + F.cross_entropy(scores.T, same)) / 2
    assert parts["loss"].item() == pytest.approx(wanted.item(), rel=1e-4) and math.isfinite(parts["near"].item())


WORDS = st.lists(st.sampled_from("a red dog runs on the beach , with in two boats near snow .".split()), min_size=1)


@given(WORDS, st.integers(0, 2**32))
def test_a_caption_said_otherwise_has_only_its_own_words_in_their_order(words: list[str], seed: int) -> None:
    rest = iter(" ".join(words).replace(",", " ").replace(".", " ").split())
    said = varied(" ".join(words), random.Random(seed)).replace(",", " ").replace(".", " ").split()
    assert all(word in rest for word in said)


def test_captions_are_said_in_many_ways_and_never_as_nothing() -> None:
    text = "a black dog runs on the beach with a red ball"
    said = [varied(text, random.Random(seed)) for seed in range(400)]
    assert all(said) and text in said and "the beach" in said and len(set(said)) > 50


def test_a_vocabulary_cut_short_is_the_beginning_of_the_whole_one(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_merges(tmp_path / name, 300)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert len(gzip.decompress((tmp_path / "a.gz").read_bytes()).split(b"\n")) == 301
    short, whole = open_clip.SimpleTokenizer(bpe_path=str(tmp_path / "a.gz")), open_clip.SimpleTokenizer()
    assert short.vocab_size == 300 + 512 + 2
    for word in ("the", "dog", "ÿ🦊"):
        ids = short.encode(word)
        assert short.decode(ids).strip() == whole.decode(whole.encode(word)).strip() and max(ids) < 812
