"""One head fitted to stored pairs: learn what reads words, set pictures aside to stop by, and let its method fit."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash

from engine.config import HeadSettings
from engine.errors import ArtifactError, InvalidInput
from engine.heads import Head
from engine.types import Modality
from indexer.heads.methods import CLOSED_FORM, TEXTS, Method
from indexer.heads.stored_pairs import StoredPairs
from indexer.heads.tasks import Task, TextsOf

Hear = Callable[[dict[str, float], int, int], None]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head with how it came about. text: what it reads of words; best: what its method says of the weights kept."""

    head: Head
    text: str
    curve: list[dict[str, float]]
    best: dict[str, float]
    seconds: float


def text_of(method: Method, settings: HeadSettings, *, embedded: bool) -> str:
    """What a head by this method reads of words; embedded: whether the encoder gives embeddings of them.

    Raises InvalidInput for what is not there.
    """
    if settings.text == "encoder" and not embedded:
        raise InvalidInput(
            "this library has no embeddings of words, which --text encoder needs: choose lexical, tokens or auto"
        )
    if settings.text != "auto":
        return settings.text
    return "encoder" if embedded else method.words


def fit_head(
    method: Method,
    settings: HeadSettings,
    train: StoredPairs,
    text: str,
    dims: Mapping[Modality, int],
    fingerprint: str,
    device: torch.device,
    folder: Path,
    hear: Hear,
) -> Fitted:
    """Learn from pairs. text: encoder, or a kind of `TEXTS`. dims: of the stored vectors. folder: for the checkpoint.

    fingerprint: the encoder's, without which a checkpoint is not gone on from. Raises InvalidInput where the method
    cannot learn from these pairs, ArtifactError for a damaged checkpoint.
    """
    if method.needs_categories and train.categories is None:
        raise InvalidInput(f"{method.name} learns from categories, and no picture here has one: use another method")
    started = time.perf_counter()
    settings = replace(settings, method=method.name)
    words = TEXTS[text](train.words, settings) if text != "encoder" else None
    parts = (train, train) if method.family == CLOSED_FORM else train.parted(settings.seed)  # it parts them itself
    inputs = [words(part.words) if words else torch.from_numpy(part.texts) for part in parts]
    checkpoint = folder / f"head-{method.name}.pt"
    torch.manual_seed(settings.seed)
    task = Task(
        train=parts[0],
        aside=parts[1],
        texts=TextsOf(*inputs),
        vocabulary=getattr(words, "vocabulary", None),
        settings=settings,
        device=device,
        checkpoint=checkpoint,
        identity=_identity(parts, [text, asdict(settings), fingerprint]),
        hear=hear,
    )
    try:
        aligner, report = method.fit(task)
    except ArtifactError as error:
        raise ArtifactError(f"{error}. The present model is kept") from None
    checkpoint.unlink(missing_ok=True)
    read = {Modality.IMAGE} if words else {Modality.IMAGE, Modality.TEXT}
    seen = {modality: width for modality, width in dims.items() if modality in read}
    head = Head(aligner.cpu().eval(), seen, words)
    if not all(value.isfinite().all() for value in aligner.state_dict().values()):
        raise InvalidInput(
            f"{method.name} ended in numbers that are none, so nothing was kept: lower head.learning_rate, which is "
            f"{settings.learning_rate}, or choose another method"
        )
    return Fitted(head, text, report.curve, report.best, time.perf_counter() - started)


def spoil(pairs: StoredPairs, share: float, seed: int) -> StoredPairs:
    """The same pairs, of which this share have their pictures exchanged among each other."""
    rng, owner = np.random.default_rng(seed), pairs.owner.copy()
    chosen = rng.permutation(len(owner))[: round(share * len(owner))]
    owner[chosen] = np.roll(owner[chosen], 1)
    return replace(pairs, owner=owner)


def _identity(parts: Sequence[StoredPairs], facts: Sequence[Any]) -> str:
    """What a checkpoint must share to be gone on from: the pairs, the method and its settings."""
    digest = xxhash.xxh3_128(json.dumps([facts, [pairs.words for pairs in parts]]))
    for pairs in parts:
        for array in (pairs.images, pairs.texts, pairs.owner, pairs.categories, pairs.weights, pairs.negatives):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
