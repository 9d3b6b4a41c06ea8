"""What fits a head with gradients: a recipe names the aligner and the objective, the one loop does the rest."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.fusion import Fusion
from engine.aligners.towers import Towers
from engine.errors import InvalidInput
from engine.types import F32, I64, Modality
from indexer.heads.batches import PairTensors
from indexer.metrics import average_precision, pair_ranks
from indexer.objectives import Batch, Objective
from indexer.objectives.reconstruction import Reconstruction, translated
from indexer.train import TrainingReport, fit

if TYPE_CHECKING:  # methods.py holds the table of recipes
    from indexer.heads.tasks import Task

_WATCHED = 2000  # pictures set aside that are looked at after each epoch, at most
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to learn with gradients. objective: (task, aligner) to the objective.

    together: see PairTensors. vectors_only: texts must be vectors. translates: texts are searched with as what their
    codes decode to. bits: also by the signs of the vectors alone. score: which figure, on pictures set aside, decides
    what epoch is kept.
    """

    objective: Callable[["Task", Any], Objective]
    aligner: Callable[["Task"], Towers | Fusion]
    together: int = 1
    vectors_only: bool = False
    translates: bool = False
    bits: bool = False
    score: str = "r10"

    def __call__(self, task: "Task") -> tuple[Aligner, TrainingReport]:
        """Fit. Raises InvalidInput when the method cannot read this task's texts."""
        if self.vectors_only and task.vocabulary is not None:
            raise InvalidInput(f"{task.settings.method} reads vectors of texts, not tokens: set head.text to lexical")
        settings, device = task.settings, task.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            aligner = self.aligner(task).to(device)
            objective = self.objective(task, aligner).to(device)
        images = torch.from_numpy(task.train.images)
        aligner.learn_inputs({Modality.IMAGE: images, Modality.TEXT: task.texts.train})
        train, held_out = (
            PairTensors(pairs, texts, device)
            for pairs, texts in ((task.train, task.texts.train), (task.aside, task.texts.aside))
        )
        size = train.batch_size(settings.batch_size)

        def batches(_epoch: int, _epochs: int, generator: torch.Generator) -> Iterator[Batch]:
            return train.batches(size, generator, self.together)

        def evaluate(aligner: Aligner) -> dict[str, float]:
            return {**self._recall(aligner, objective, held_out), **gap(aligner, objective, train, held_out)}

        score = self.score if self.score != "map" or held_out.categories is not None else "r10"
        steps = len(train.paired) // size
        report = fit(
            aligner, objective, batches, steps, evaluate, settings, task.checkpoint, task.identity, task.hear, score
        )
        return self._finished(aligner, objective).eval().cpu(), report

    def _finished(self, aligner: Aligner, objective: Objective) -> Aligner:
        if not self.translates:
            return aligner
        assert isinstance(aligner, Towers) and isinstance(objective, Reconstruction)
        return translated(aligner, objective)

    @torch.inference_mode()
    def _recall(self, aligner: Aligner, objective: Objective, pairs: PairTensors) -> dict[str, float]:
        """Recall both ways over the first pictures set aside, "r10": its mean at 10, and "map" by their categories."""
        finished = self._finished(aligner, objective)
        own = pairs.paired[pairs.owner[pairs.paired] < _WATCHED]
        shown, places = torch.unique(pairs.owner[own], return_inverse=True)
        images, owner = _rows(finished, pairs.images[shown], Modality.IMAGE), places.numpy()
        texts = _rows(finished, pairs.texts[own], Modality.TEXT)
        figures = _figures(images.numpy(), texts.numpy(), owner)
        if self.bits:
            signs = _figures(_signs(images), _signs(texts), owner)
            figures |= {f"bits_{name}": value for name, value in signs.items()}
        if pairs.categories is not None:
            known = pairs.categories[shown].numpy()
            figures["t2i_map"] = mean_precision(texts.numpy(), images.numpy(), known[owner], known)
            figures["i2t_map"] = mean_precision(images.numpy(), texts.numpy(), known, known[owner])
            figures["map"] = (figures["t2i_map"] + figures["i2t_map"]) / 2
        return figures


def mean_precision(queries: F32, items: F32, wanted: I64, labels: I64) -> float:
    """Mean average precision over the queries that something answers; 0 where nothing is."""
    known = wanted >= 0
    values = average_precision(queries[known], items, wanted[known], labels)
    answered = values[~np.isnan(values)]
    return float(answered.mean()) if len(answered) else 0.0


@torch.inference_mode()
def gap(aligner: Aligner, objective: Objective, train: PairTensors, held_out: PairTensors) -> dict[str, float]:
    """What the objective measures on as many training pairs as set aside, and by how much these are worse."""
    count = min(len(train.paired), len(held_out.paired), _WATCHED)
    seen = objective.measure(aligner, train.batch(train.paired[:count]))
    unseen = objective.measure(aligner, held_out.batch(held_out.paired[:count]))
    figures: dict[str, float] = {}
    for name, value in unseen.items():
        figures |= {f"{name}_train": seen[name].item(), f"{name}_held_out": value.item()}
        figures[f"{name}_gap"] = value.item() - seen[name].item()
    return figures


def towers(task: "Task", **changes: Any) -> Towers:
    """Towers for a task as its settings say; `changes` are of the Towers' constructor."""
    settings = task.settings
    blocks = {"layers": settings.layers, "width": settings.width, "dropout": settings.dropout}
    image = {"kind": "vectors", **vector_input(task.train.images), **blocks}
    image["dropout"] = settings.dropout / 3  # measured: an image is recalled worse with more, a text with less
    if task.vocabulary is None:
        text = {"kind": "vectors", **vector_input(task.texts.train), **blocks}
    else:
        text = {"kind": "tokens", "vocabulary": task.vocabulary, **blocks}
        text |= {"sequence": settings.sequence, "pooling": settings.pooling}
    given = {"towers": {Modality.IMAGE: image, Modality.TEXT: text}, "dim": settings.dim, "shared": settings.shared}
    return Towers(**{**given, **changes})


def generator(task: "Task") -> Towers:
    """Towers whose text side makes an image's embedding; images are left as they are."""
    made, image = towers(task), vector_input(task.train.images)
    specs = {str(Modality.IMAGE): {"kind": "fixed", **image}, str(Modality.TEXT): made.shape["towers"][Modality.TEXT]}
    tails = {str(Modality.TEXT): {"width": task.settings.width, "groups": 1, "size": 0}}
    return Towers(image["input"], specs, code=task.settings.dim, tails=tails)


def fusion(task: "Task") -> Fusion:
    """Fusion for a task: slots of each vector, or tokens as they are."""
    settings = task.settings
    text: dict[str, Any] = {"kind": "tokens", "vocabulary": task.vocabulary}
    if task.vocabulary is None:
        text = {"kind": "vectors", **vector_input(task.texts.train), "slots": 4}
    image = {"kind": "vectors", **vector_input(task.train.images), "slots": 4}
    return Fusion(settings.dim, {Modality.IMAGE: image, Modality.TEXT: text}, 256, 4, 1, settings.dropout)


def widths(task: "Task") -> dict[Modality, int]:
    """The width of each modality's vectors."""
    return {Modality.IMAGE: task.train.images.shape[1], Modality.TEXT: task.texts.train.shape[1]}


def vector_input(x: F32 | Tensor) -> dict[str, Any]:
    """How vectors are read: those that are never negative by their logarithms."""
    return {"input": x.shape[1], "compress": bool((x >= 0).all())}


def _rows(aligner: Aligner, x: Tensor, modality: Modality) -> Tensor:
    return torch.cat([aligner.project(block, modality).float().cpu() for block in torch.split(x, _BLOCK)])


def _signs(x: Tensor) -> F32:
    """The bits of vectors (n, d) as unit rows, whose inner products order like Hamming distances."""
    out: F32 = F.normalize(x.sign(), dim=-1).numpy()
    return out


def _figures(images: F32, texts: F32, owner: I64) -> dict[str, float]:
    ranks = pair_ranks(images, texts, owner)
    return {**ranks.figures(), "r10": ranks.r10}
