"""Every way to learn a head, by name: what it is, where it is from, and the one call that fits it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.aligners import Aligner
from engine.aligners.texts import Lexical, TextInput, Tokens
from engine.config import HeadSettings
from indexer.heads.classes import kernel_ridge_head, semantic
from indexer.heads.closed_forms import CCA, FACTORS, RIDGE
from indexer.heads.gradients import Recipe, fusion, generator, towers, widths
from indexer.heads.tasks import Task
from indexer.objectives.adversarial import FeatureGAN, ModalityDiscriminator
from indexer.objectives.fused import FusedNCE
from indexer.objectives.hashing import Binarised
from indexer.objectives.ranking import InfoNCE, Siamese, Sigmoid, SupervisedNCE, Triplet
from indexer.objectives.reconstruction import (
    CorrespondenceAutoencoder,
    Reconstruction,
    VariationalAutoencoder,
    VectorQuantizedAutoencoder,
)
from indexer.train import TrainingReport

CLOSED_FORM = "closed_form"
_LEXICAL_WIDTH = 400  # singular vectors of words


@dataclass(frozen=True, slots=True)
class Method:
    """A way to learn. family: its file in objectives/. source: paper and equation. aligner: the query-time shape.

    needs_categories: it learns from categories, not only from pairs. fit: (task) to the aligner and its report.
    words: the text input it does best with (see TEXTS) where no encoder gives embeddings of words.
    """

    name: str
    family: str
    source: str
    aligner: str
    fit: Callable[[Task], tuple[Aligner, TrainingReport]]
    needs_categories: bool = False
    words: str = "lexical"


_CLOSED_FORMS = (
    Method("ridge", CLOSED_FORM, "Hoerl and Kennard 1970", "linear", RIDGE),
    Method(
        "kernel-ridge",
        CLOSED_FORM,
        "Saunders et al. 1998; Zhang et al. 2007",
        "linear",
        kernel_ridge_head,
    ),
    Method("cca", CLOSED_FORM, "Hotelling 1936; Vinod 1976; Gong et al. 2014", "linear", CCA),
    Method("semantic", CLOSED_FORM, "Rasiwasia et al. 2010", "linear", semantic, needs_categories=True),
    Method("matrix-factorization", CLOSED_FORM, "Singh and Gordon 2008", "linear", FACTORS),
)


def _ranking(name: str, source: str, objective: Callable[[], Any]) -> Method:
    by_category = objective is SupervisedNCE
    recipe = Recipe(lambda task, aligner: objective(), towers, score="map" if by_category else "r10")
    return Method(name, "ranking", source, "towers", recipe, by_category, "tokens")


def _reconstruction(name: str, source: str, kind: type[Reconstruction]) -> list[Method]:
    """The method, and its like that searches by translation."""

    def objective(task: Task, aligner: Any) -> Reconstruction:
        return kind(task.settings.dim, task.settings.width, widths(task))

    plain = Recipe(objective, towers, vectors_only=True)
    translating = Recipe(objective, towers, vectors_only=True, translates=True)
    return [
        Method(name, "reconstruction", source, "towers", plain),
        Method(f"{name}-translate", "reconstruction", source, "towers", translating),
    ]


def _discriminator(task: Task, aligner: Any) -> ModalityDiscriminator:
    known = task.train.categories
    return ModalityDiscriminator(task.settings.dim, 0 if known is None else int(known.max()) + 1)


def _gan(task: Task, aligner: Any) -> FeatureGAN:
    return FeatureGAN(task.settings.dim, aligner.dim, task.settings.width)


_GRADIENT = [
    _ranking("infonce", "Radford et al. 2021; van den Oord et al. 2018, eq. 4", InfoNCE),
    _ranking("siglip", "Zhai et al. 2023, eq. 1", Sigmoid),
    _ranking("triplet", "Faghri et al. 2018 (VSE++), eq. 6", Triplet),
    _ranking("siamese", "Hadsell et al. 2006, eq. 4", Siamese),
    _ranking("supervised", "Khosla et al. 2020, eq. 2", SupervisedNCE),
    *_reconstruction("autoencoder", "Feng et al. 2014, eq. 6", CorrespondenceAutoencoder),
    *_reconstruction("vae", "Wu & Goodman 2018, eqs. 2, 4, 5", VariationalAutoencoder),
    *_reconstruction("vqvae", "van den Oord et al. 2017, eq. 3", VectorQuantizedAutoencoder),
    Method(
        "acmr",
        "adversarial",
        "Wang et al. 2017, eq. 8",
        "towers",
        Recipe(_discriminator, towers, score="map"),
        words="tokens",
    ),
    Method("gan", "adversarial", "Reed et al. 2016, alg. 1; Xian et al. 2018", "towers", Recipe(_gan, generator)),
    Method(
        "fusion",
        "fusion",
        "Jaegle et al. 2021; Vo et al. 2019, eq. 2",
        "fusion",
        Recipe(lambda task, aligner: FusedNCE(), fusion, together=2),
        words="tokens",
    ),
    Method(
        "hashing",
        "hashing",
        "Jiang & Li 2017, eq. 2; Weiss et al. 2008, eq. 2",
        "towers",
        Recipe(lambda task, aligner: Binarised(), towers, bits=True, score="bits_r10"),
        words="tokens",
    ),
]
METHODS: dict[str, Method] = {method.name: method for method in (*_CLOSED_FORMS, *_GRADIENT)}

TEXTS: dict[str, Callable[[Sequence[str], HeadSettings], TextInput]] = {
    Lexical.kind: lambda words, settings: Lexical.learn(words, settings.vocabulary, _LEXICAL_WIDTH, settings.seed),
    Tokens.kind: lambda words, settings: Tokens.learn(words, settings.vocabulary, settings.context_length),
}
"""How each kind of text input is learned from captions."""
