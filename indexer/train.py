"""The one training loop, for every aligner and objective that has gradients. Read it top to bottom."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.aligners import Aligner
from engine.artifacts import replace_file
from engine.config import TrainSettings
from engine.errors import ArtifactError
from indexer.objectives import Batch, Objective

_MARGIN = 1.2  # epochs to come may cost this much more than the last: their pictures are larger

Batches = Callable[[int, int, torch.Generator], Iterator[Batch]]
"""(epoch, epochs planned, generator) to that epoch's batches."""


@dataclass(slots=True)
class TrainingReport:
    """What a training run did. curve: one row an epoch, with loss and held-out figures. best: the row kept."""

    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    seconds: float = 0.0


def fit(
    aligner: Aligner,
    objective: Objective,
    batches: Batches,
    steps_per_epoch: int,
    evaluate: Callable[[Aligner], dict[str, float]],
    settings: TrainSettings,
    checkpoint: Path,
    identity: str,
    tell: Callable[[dict[str, float], int, int], None],
) -> TrainingReport:
    """Train in place and leave the weights with the best held-out score ("r10") in `aligner`.

    A checkpoint is written after each epoch; a run that finds one of the same `identity` (data, model and
    settings) goes on from it, to the same numbers as one that was not interrupted. `tell(figures, epoch,
    epochs)` hears of each epoch. Training stops early after `patience` epochs without a better score. When
    `max_minutes` would not hold all epochs, fewer are planned as it goes: only then do the numbers depend on the
    machine's speed.
    """
    optimizer = torch.optim.AdamW(_groups(aligner, objective, settings.weight_decay), betas=(0.9, 0.98), fused=True)
    report, epochs, best_weights = TrainingReport(epochs=settings.epochs), settings.epochs, _weights(aligner)
    saved = _load(checkpoint, identity)
    if saved is not None:
        aligner.load_state_dict(saved["aligner"])
        objective.load_state_dict(saved["objective"])
        optimizer.load_state_dict(saved["optimizer"])
        best_weights, report = saved["best_weights"], TrainingReport(**json.loads(saved["report"]))
        epochs = report.epochs

    while (epoch := len(report.curve)) < epochs and _stale(report) < settings.patience:
        started = time.monotonic()
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + epoch)
        aligner.train()
        losses: list[float] = []
        for step, batch in enumerate(batches(epoch, epochs, generator), epoch * steps_per_epoch):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * _schedule(step, epochs * steps_per_epoch)
            loss = objective(aligner, batch)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(aligner.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())

        aligner.eval()
        figures = {"epoch": epoch + 1.0, "loss": sum(losses) / max(len(losses), 1), **evaluate(aligner)}
        report.curve.append(figures)
        if not report.best or figures["r10"] > report.best["r10"]:
            report.best, best_weights = figures, _weights(aligner)
        seconds = time.monotonic() - started
        report.seconds += seconds
        left = (settings.max_minutes * 60 - report.seconds) / (_MARGIN * seconds)
        epochs = report.epochs = min(settings.epochs, epoch + 1 + max(0, int(left)))  # the schedule ends in time
        _save(checkpoint, identity, aligner, objective, optimizer, best_weights, report)
        tell(figures, epoch + 1, epochs)

    aligner.load_state_dict(best_weights)
    aligner.eval()
    return report


def _groups(aligner: Aligner, objective: Objective, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; gains, biases and temperatures do not."""
    parameters = [p for p in (*aligner.parameters(), *objective.parameters()) if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over a twentieth of the steps, then a half cosine to zero."""
    warm = max(1, steps // 20)
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


def _stale(report: TrainingReport) -> int:
    return len(report.curve) - int(report.best.get("epoch", len(report.curve)))


def _weights(aligner: Aligner) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in aligner.state_dict().items()}


def _save(
    path: Path,
    identity: str,
    aligner: Aligner,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    best_weights: dict[str, torch.Tensor],
    report: TrainingReport,
) -> None:
    import io

    buffer = io.BytesIO()
    state = {
        "identity": identity,
        "aligner": aligner.state_dict(),
        "objective": objective.state_dict(),
        "optimizer": optimizer.state_dict(),
        "best_weights": best_weights,
        "report": json.dumps(asdict(report)),
    }
    torch.save(state, buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())


def _load(path: Path, identity: str) -> dict[str, Any] | None:
    """The state of an interrupted run of the same identity; None when there is none. Never unpickles code."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a cut or altered file fails in the zip reader, the unpickler or torch itself
        raise ArtifactError(f"the checkpoint {path} is damaged ({error}): delete it to start afresh") from None
    return state if state["identity"] == identity else None
