"""Distillation: a student's vectors should be where a teacher's are, and near what they belong with."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.types import Modality
from indexer.objectives import Batch, Objective
from indexer.objectives.ranking import InfoNCE


@dataclass(frozen=True, slots=True)
class Lesson(Batch):
    """Inputs of one modality or of pairs, and what a teacher says of them.

    targets: (n, d) unit rows, where the pictures, or texts alone, should be; text_targets: those of a pair's texts.
    anchors: (p, d) unit rows of the other modality, of which the first n are the inputs' own. features: (n, f)
    standardized, and logits: (n, c), that pooled pixels should tell.
    """

    targets: Tensor | None = None
    text_targets: Tensor | None = None
    anchors: Tensor | None = None
    features: Tensor | None = None
    logits: Tensor | None = None


class Matching(Objective):
    """Three pulls on a student's unit rows.

    1 - cosine to the teacher's row (Reimers & Gurevych 2020); the teacher's soft order of the anchors, as a
    Kullback-Leibler divergence (Wu et al. 2023, TinyCLIP, affinity mimicking); the own anchor before others (InfoNCE).
    """

    def __init__(self, near: float = 4.0, order: float = 1.0, own: float = 0.5, scale: float = 20.0) -> None:
        super().__init__()
        self.near, self.order, self.own, self.scale = near, order, own, scale
        self.contrast = InfoNCE()

    def match(self, rows: Tensor, lesson: Lesson) -> dict[str, Tensor]:
        """The losses of a student's unit rows (n, d)."""
        assert lesson.targets is not None and lesson.anchors is not None
        near = 1 - (rows * lesson.targets).sum(1).mean()
        wanted = (self.scale * lesson.targets @ lesson.anchors.T).log_softmax(1)
        scores = rows @ lesson.anchors.T
        order = F.kl_div((self.scale * scores).log_softmax(1), wanted, log_target=True, reduction="batchmean")
        own = F.cross_entropy(self.contrast.scale * scores, torch.arange(len(rows), device=rows.device))
        loss = self.near * near + self.order * order + self.own * own
        return {"loss": loss, "near": near.detach(), "order": order.detach(), "own": own.detach()}


class TextLesson(Matching):
    """The student's text tower learns where a teacher puts texts."""

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(batch, Lesson)
        return self.match(aligner.project(batch.inputs[Modality.TEXT], Modality.TEXT), batch)


class ImageLesson(Matching):
    """The student's image tower does too, and its pooled features should tell the teacher's features and logits.

    Features are regressed (Romero et al. 2015), logits learned as soft classes (Hinton et al. 2015).
    """

    def __init__(self, pooled: int, features: int, logits: int, temperature: float = 2.0) -> None:
        super().__init__()
        self.to_features, self.to_logits = nn.Linear(pooled, features), nn.Linear(pooled, logits)
        self.temperature = temperature

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(batch, Lesson) and batch.features is not None and batch.logits is not None
        pooled, rows = aligner.look(batch.inputs[Modality.IMAGE])  # type: ignore[operator]
        parts = self.match(rows, batch)
        features = F.mse_loss(self.to_features(pooled), batch.features)
        wanted = (batch.logits / self.temperature).log_softmax(1)
        told = (self.to_logits(pooled) / self.temperature).log_softmax(1)
        classes = self.temperature**2 * F.kl_div(told, wanted, log_target=True, reduction="batchmean")
        loss = parts["loss"] + features + 0.5 * classes
        return {**parts, "loss": loss, "features": features.detach(), "classes": classes.detach()}


class PairLesson(Objective):
    """Both towers: each pair before all others of its batch (InfoNCE), and neither far from where its teacher was."""

    def __init__(self, near: float = 4.0) -> None:
        super().__init__()
        self.near, self.contrast = near, InfoNCE()

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(batch, Lesson) and batch.targets is not None and batch.text_targets is not None
        images = aligner.project(batch.inputs[Modality.IMAGE], Modality.IMAGE)
        texts = aligner.project(batch.inputs[Modality.TEXT], Modality.TEXT)
        parts = self.contrast.rank(images, texts, batch)
        near = 2 - (images * batch.targets).sum(1).mean() - (texts * batch.text_targets).sum(1).mean()
        return {**parts, "loss": parts["loss"] + self.near * near, "near": near.detach()}
