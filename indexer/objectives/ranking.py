"""Ranking objectives: a pair should score above the other pairs of its batch."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from indexer.objectives import Batch, Objective, projected, weighted_mean

MARKED_WRONG = 4.0  # how often an answer that a person called bad counts among a text's wrong answers


class Ranking(Objective):
    """What the family shares: the loss is one of vectors in the joint space."""

    def forward(self, aligner: Aligner, batch: Batch) -> dict[str, Tensor]:
        return self.rank(*projected(aligner, batch), batch)

    def rank(self, images: Tensor, texts: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The loss of images (n, d) and texts (m, d), unit rows."""
        raise NotImplementedError


class InfoNCE(Ranking):
    """The symmetric contrastive loss of CLIP (Radford et al. 2021; van den Oord et al. 2018, eq. 4).

    An image may have several captions in a batch: each is a pair of its own, and its siblings are left out of
    that pair's negatives.
    """

    def __init__(self, temperature: float = 0.07, max_scale: float = 100.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.max_scale = max_scale

    @property
    def scale(self) -> Tensor:
        """The inverse temperature, which is learned and bounded."""
        return self.log_scale.exp().clamp(max=self.max_scale)

    def rank(self, images: Tensor, texts: Tensor, batch: Batch) -> dict[str, Tensor]:
        owner = batch.owner
        to_images = self.scale * texts @ images.T  # (m, n)
        if batch.negatives is not None:
            text, image = batch.negatives.T
            to_images = to_images.index_put((text, image), to_images.new_tensor(math.log(MARKED_WRONG)), True)
        to_texts = to_images.T[owner]  # (m, m): row j is text j's image against every text
        to_texts = to_texts.masked_fill(siblings(batch), float("-inf"))
        text_to_image = F.cross_entropy(to_images, owner, reduction="none")
        image_to_text = F.cross_entropy(to_texts, torch.arange(len(texts), device=texts.device), reduction="none")
        loss = weighted_mean(text_to_image + image_to_text, batch.weights) / 2
        return {
            "loss": loss,
            "text_to_image": text_to_image.detach().mean(),
            "image_to_text": image_to_text.detach().mean(),
        }


class SupervisedNCE(InfoNCE):
    """Supervised contrastive learning (Khosla et al. 2020, eq. 2) across modalities.

    Whatever shares a text's category is right beside its own image, and the other way round. Where no category is
    known, its own image alone is right.
    """

    def rank(self, images: Tensor, texts: Tensor, batch: Batch) -> dict[str, Tensor]:
        scores = self.scale * texts @ images.T  # (m, n)
        right = same_category(batch, len(images)).float()
        loss = _toward(scores, right, batch.weights) / 2
        described = right.any(0)  # an image without a text has no right answer
        return {"loss": loss + _toward(scores.T[described], right.T[described], None) / 2}


class Sigmoid(Ranking):
    """SigLIP (Zhai et al. 2023, eq. 1): each pair by itself is right or wrong; scale and bias are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def rank(self, images: Tensor, texts: Tensor, batch: Batch) -> dict[str, Tensor]:
        scores = self.log_scale.exp() * texts @ images.T + self.bias
        sign = 2 * described(batch, len(images)).float() - 1
        return {"loss": with_marked(-F.logsigmoid(sign * scores).sum(1), batch)}


class Triplet(Ranking):
    """VSE++ (Faghri et al. 2018, eq. 6): the hardest wrong answer of the batch must be a margin below the right one.

    The first `gentle` batches sum over all wrong answers instead (eq. 5), without which the hardest ones make all
    vectors alike at the start. by_category: what shares a category is no wrong answer either.
    """

    def __init__(self, margin: float = 0.2, gentle: int = 100, by_category: bool = False) -> None:
        super().__init__()
        self.margin, self.gentle, self.by_category = margin, gentle, by_category
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def rank(self, images: Tensor, texts: Tensor, batch: Batch) -> dict[str, Tensor]:
        scores = texts @ images.T
        own = scores.gather(1, batch.owner[:, None])  # (m, 1)
        right = same_category(batch, len(images)) if self.by_category else described(batch, len(images))
        wrong_images = (self.margin + scores - own).clamp(min=0).masked_fill(right, 0)
        wrong_texts = (self.margin + scores.T[batch.owner] - own).clamp(min=0).masked_fill(right.T[batch.owner], 0)
        if self.training:
            self.seen += 1
        hardest = bool(self.seen > self.gentle)
        each = [cost.amax(1) if hardest else cost.mean(1) for cost in (wrong_images, wrong_texts)]
        return {"loss": weighted_mean(each[0] + each[1], batch.weights)}


class Siamese(Ranking):
    """The contrastive loss of Hadsell et al. 2006, eq. 4: d² for a pair, max(0, margin - d)² for what is none.

    d is the Euclidean distance of unit rows. A text's wrong answers are averaged over those within the margin, since
    the many beyond it cost nothing. To a text that is no pair, every image of the batch is a wrong answer.
    """

    def __init__(self, margin: float = 0.8) -> None:
        super().__init__()
        self.margin = margin

    def rank(self, images: Tensor, texts: Tensor, batch: Batch) -> dict[str, Tensor]:
        distance = (2 - 2 * texts @ images.T).clamp(min=1e-6).sqrt()  # (m, n)
        near = distance.gather(1, batch.owner[:, None])[:, 0].square()
        violation = (self.margin - distance).clamp(min=0).masked_fill(described(batch, len(images)), 0)
        far = violation.square().sum(1) / (violation > 0).sum(1).clamp(min=1)
        loss = weighted_mean(near, batch.weights) + with_marked(far, batch)
        return {
            "loss": loss,
            "near": near.detach().mean(),
            "far": far.detach().mean(),
        }


def siblings(batch: Batch) -> Tensor:
    """(m, m) bool: which other texts describe the image of each row's text."""
    same = (batch.owner[:, None] == batch.owner[None, :]).fill_diagonal_(False)
    return same if batch.weights is None else same & (batch.weights > 0)


def described(batch: Batch, images: int) -> Tensor:
    """(m, n) bool: which image each text describes; none, for a text that is no pair."""
    right = batch.owner[:, None] == torch.arange(images, device=batch.owner.device)[None, :]
    return right if batch.weights is None else right & (batch.weights > 0)[:, None]


def with_marked(values: Tensor, batch: Batch) -> Tensor:
    """The mean over pairs of values (m,), to which a text that is no pair adds its own as one of weight 1."""
    if batch.weights is None:
        return values.mean()
    return (values * batch.weights.where(batch.weights > 0, 1)).sum() / batch.weights.sum()


def category_of_texts(batch: Batch, categories: Tensor) -> Tensor:
    """(m,) the category, of those (n,) of the images, that each text shares with its image; -1 for no pair."""
    mine = categories[batch.owner]
    return mine if batch.weights is None else mine.where(batch.weights > 0, -1)


def same_category(batch: Batch, images: int) -> Tensor:
    """(m, n) bool: which images are right for each text: its own, and those of its category where it is known."""
    right = described(batch, images)
    if batch.categories is None:
        return right
    mine = category_of_texts(batch, batch.categories)
    return right | ((mine[:, None] == batch.categories[None, :]) & (mine >= 0)[:, None])


def _toward(scores: Tensor, right: Tensor, weights: Tensor | None) -> Tensor:
    """Cross-entropy of scores (a, b) toward an even choice among what is right."""
    return weighted_mean(-(scores.log_softmax(1) * right).sum(1) / right.sum(1).clamp(min=1), weights)
