"""The one training loop, for every aligner and objective that has gradients. Read it top to bottom."""

import io
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from engine.aligners import Aligner
from engine.artifacts import replace_file
from engine.errors import ArtifactError
from indexer.objectives import Batch, Objective

_MARGIN = 1.2  # epochs to come may cost this much more than the last: their pictures are larger

Batches = Callable[[int, int, torch.Generator], Iterator[Batch]]
"""(epoch, epochs planned, generator) to that epoch's batches."""


class Settings(Protocol):
    """What the loop reads of a dataclass of settings."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epochs(self) -> int: ...
    @property
    def max_minutes(self) -> float: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def patience(self) -> int: ...
    @property
    def seed(self) -> int: ...


@dataclass(slots=True)
class TrainingReport:
    """What a training run did. curve: one row an epoch, with losses and held-out figures. best: the row kept."""

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
    settings: Settings,
    checkpoint: Path,
    identity: str,
    tell: Callable[[dict[str, float], int, int], None],
    score: str = "r10",
) -> TrainingReport:
    """Train in place and leave the weights with the best held-out `score`, of what `evaluate` gives, in both modules.

    A checkpoint is written after each epoch; a run that finds one of the same `identity` (data, model and
    settings) goes on from it, to the same numbers as one that was not interrupted. `tell(figures, epoch,
    epochs)` hears of each epoch. Training stops early after `patience` epochs without a better score. When
    `max_minutes` would not hold all epochs, fewer are planned as it goes: only then do the numbers depend on the
    machine's speed. On a GPU that has bfloat16 the passes forward run in it; it needs no scaling of the loss.
    """
    modules = nn.ModuleDict({"aligner": aligner, "objective": objective})
    device = next(modules.parameters()).device
    half = torch.autocast(device.type, torch.bfloat16, device.type == "cuda" and torch.cuda.is_bf16_supported())
    optimizer = torch.optim.AdamW(_groups(modules, settings.weight_decay), betas=(0.9, 0.98), fused=True)
    report, epochs, best_weights = TrainingReport(epochs=settings.epochs), settings.epochs, _weights(modules)
    saved = _load(checkpoint, identity)
    if saved is not None:
        modules.load_state_dict(saved["modules"])
        optimizer.load_state_dict(saved["optimizer"])
        best_weights, report = saved["best_weights"], TrainingReport(**json.loads(saved["report"]))
        epochs = report.epochs

    while (epoch := len(report.curve)) < epochs and _stale(report, score) < settings.patience:
        started = time.monotonic()
        seed = settings.seed * 1_000_003 + epoch
        modules.train()
        losses: dict[str, list[torch.Tensor]] = defaultdict(list)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)  # dropout and noise: an epoch's own, whatever was drawn before
            drawn = batches(epoch, epochs, torch.Generator().manual_seed(seed))
            for step, batch in enumerate(drawn, epoch * steps_per_epoch):
                for group in optimizer.param_groups:
                    group["lr"] = settings.learning_rate * _schedule(step, epochs * steps_per_epoch)
                with half:
                    parts = objective(aligner, batch)
                (parts["loss"] / settings.accumulate).backward()
                if (step + 1) % settings.accumulate == 0 or (step + 1) % steps_per_epoch == 0:
                    torch.nn.utils.clip_grad_norm_(aligner.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
                for name, value in parts.items():
                    losses[name].append(value.detach())

        modules.eval()
        means = {name: torch.stack(values).float().mean().item() for name, values in losses.items()}
        figures = {"epoch": epoch + 1.0, **means, **evaluate(aligner)}
        report.curve.append(figures)
        if not report.best or figures[score] >= report.best[score]:  # of equals the longer trained
            report.best, best_weights = figures, _weights(modules)
        seconds = time.monotonic() - started
        report.seconds += seconds
        left = (settings.max_minutes * 60 - report.seconds) / (_MARGIN * seconds)
        epochs = report.epochs = min(settings.epochs, epoch + 1 + max(0, int(left)))  # the schedule ends in time
        _save(checkpoint, identity, settings, modules, optimizer, best_weights, report)
        tell(figures, epoch + 1, epochs)

    modules.load_state_dict(best_weights)
    modules.eval()
    return report


def _groups(modules: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; gains, biases and temperatures do not."""
    parameters = [p for p in modules.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over a twentieth of the steps, then a half cosine to zero."""
    warm = max(1, steps // 20)
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


def _stale(report: TrainingReport, score: str) -> int:
    """Epochs since the score was first as good as it ever was."""
    scores = [row[score] for row in report.curve]
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0


def _weights(modules: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in modules.state_dict().items()}


def _save(
    path: Path,
    identity: str,
    settings: Settings,
    modules: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    best_weights: dict[str, torch.Tensor],
    report: TrainingReport,
) -> None:
    """All that going on takes, and what the run is: its settings, and the shape its aligner is made from."""
    aligner, buffer = modules["aligner"], io.BytesIO()
    state = {
        "identity": identity,
        "config": json.dumps({"settings": asdict(settings), "kind": aligner.kind, "shape": aligner.shape}),
        "modules": modules.state_dict(),
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
    except Exception:  # a cut or altered file fails in the zip reader, the unpickler or torch itself
        raise ArtifactError(f"the checkpoint {path} is damaged: delete it to start afresh") from None
    return state if state["identity"] == identity else None
