"""`rebus train --encoder`: an open_clip model learns from the library's own pictures and captions."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xxhash
from torch import Tensor, nn

from engine.aligners import Aligner
from engine.catalog import Catalog
from engine.config import Config, TrainSettings
from engine.devices import choose_device
from engine.encoders import CONFIG_FILE, HOME_FOLDER, MERGES_FILE, PREFIX, folder_of
from engine.encoders.features import is_features
from engine.encoders.imports import open_clip
from engine.encoders.open_clip import OpenClipEncoder
from engine.errors import InvalidInput
from indexer.bundled import found, licence_of
from indexer.heads.judging import Ranked, Verdict, judge
from indexer.jobs import Tell
from indexer.metrics import PairRanks
from indexer.objectives import Batch
from indexer.objectives.ranking import InfoNCE
from indexer.pairs import PixelPairs
from indexer.pixel_towers import MEAN, STD, PixelTowers, figures_of, rank, save_towers
from indexer.served import served_ranks
from indexer.splits import captioned, split
from indexer.train import TrainingReport, fit

_LOW_SHARE, _LOW_PIXELS = 0.6, 2 / 3  # from random weights, the first epochs see smaller pictures: at half the cost
_EVALUATION_BATCH = 128


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """What training an encoder gave. start: the held-out figures of the weights it began with.

    verdict: of the fitted weights against those. folder: where they are kept, the report and the verdict with them;
    None where they find no more than what they began with.
    """

    report: TrainingReport
    start: dict[str, float]
    verdict: Verdict
    folder: Path | None

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        verdict = self.verdict
        judged = {"interval": verdict.interval, "against": verdict.against, "verdict": verdict.why or "better"}
        return {**asdict(self.report), "start": self.start, **judged}


def train_encoder(
    catalog: Catalog, config: Config, tell: Tell, hear: Callable[[dict[str, float], int, int], None]
) -> TrainedEncoder:
    """Fit, judge, and save under the library's `encoders/`. An interrupted run of the same data and settings goes on.

    `hear(figures, epoch, epochs)` is told of each epoch. Raises InvalidInput when there are too few captions.
    """
    settings = config.train
    parts = split(captioned(catalog, config.captions.languages[0]), settings)
    device = choose_device(config.encoder.device)
    begun = _begin(config)
    pixels = begun.towers.shape["model_cfg"]["vision_cfg"]["image_size"]
    towers, objective = begun.towers.to(device), InfoNCE().to(device)
    folder = config.home / "training"

    def decode(pictures: Any) -> PixelPairs:
        return PixelPairs.decode(pictures, begun.tokenizer, pixels, config.media, folder, tell)

    train, held_out = decode(parts.train), decode(parts.held_out)
    size = min(settings.batch_size, len(train))

    def batches(epoch: int, epochs: int, generator: torch.Generator) -> Iterator[Batch]:
        low = not begun.fingerprint and epoch < _LOW_SHARE * epochs
        side = max(32, int(pixels * (_LOW_PIXELS if low else 1)))
        done = 0
        for batch in train.batches(size, settings.captions_per_image, generator, side, settings.smallest_crop):
            yield batch
            done += size
            tell(f"training, epoch {epoch + 1} of {epochs}", min(done, len(train)), len(train))

    def ranked(aligner: Aligner) -> PairRanks:
        return rank(aligner, resized(held_out, pixels), held_out.tokens)

    checkpoint, before = folder / "encoder.pt", ranked(towers.eval())
    start = figures_of(before)
    report = fit(
        towers,
        objective,
        batches,
        len(train) // size,
        lambda aligner: figures_of(ranked(aligner)),
        settings,
        checkpoint,
        _identity(train, held_out, settings, begun.fingerprint),
        hear,
        start=start,
    )
    rivals = {"the weights it began with": Ranked(before, {})}
    if (served := served_ranks(catalog, config, held_out.pictures, begun.fingerprint)) is not None:
        rivals["what is served now"] = Ranked(served, {})
    verdict = judge(Ranked(ranked(towers), {}), rivals, len(train))
    trained = TrainedEncoder(report, start, verdict, None)
    if report.best["r10"] > start["r10"]:
        place = config.home / HOME_FOLDER
        kept = save_towers(towers, {"training": trained.facts}, place, begun.merges, licence_of(begun.folder))
        trained = replace(trained, folder=kept)
    checkpoint.unlink(missing_ok=True)
    return trained


class _Begun(NamedTuple):
    """What training begins with. merges: the file of a tokenizer's own; fingerprint: of given weights, "" for none.

    folder: of given weights.
    """

    towers: PixelTowers
    tokenizer: Any
    merges: Path | None
    fingerprint: str
    folder: Path | None = None


def _begin(config: Config) -> _Begun:
    """The encoder that `train.start` names, or random weights. Raises InvalidInput, EncoderUnavailable.

    Of the one that comes with Rebus, the library's own copy.
    """
    settings = config.train
    if not settings.start:
        shape = _model_config(settings)
        torch.manual_seed(settings.seed)
        model = open_clip.CLIP(**shape["model_cfg"]).to(memory_format=torch.channels_last)
        return _Begun(
            PixelTowers(model, shape), open_clip.SimpleTokenizer(context_length=settings.context_length), None, ""
        )
    if settings.start.startswith(PREFIX) or is_features(settings.start):
        raise InvalidInput(
            f"train.start is {settings.start!r}: name starter, a folder with an open_clip model, or nothing"
        )
    start = found(config.home, settings.start)
    encoder, folder = OpenClipEncoder.load(start, "cpu"), folder_of(start)
    shape = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    merges = folder / MERGES_FILE
    model = encoder.model.requires_grad_(True)
    return _Begun(
        PixelTowers(model, shape), encoder.tokenizer, merges if merges.is_file() else None, encoder.fingerprint, folder
    )


def resized(pairs: PixelPairs, pixels: int) -> Iterator[Tensor]:
    """Pictures as batches (b, 3, pixels, pixels)."""
    for rows in torch.split(torch.arange(len(pairs)), _EVALUATION_BATCH):
        yield nn.functional.interpolate(pairs.images(rows), size=(pixels, pixels), **_RESIZE)


_RESIZE: dict[str, Any] = {"mode": "bicubic", "antialias": True, "align_corners": False}


def _model_config(settings: TrainSettings) -> dict[str, Any]:
    """The model in open_clip's own form, so that any release of Rebus or open_clip can load it."""
    vision = {
        "timm_model_name": settings.image_tower,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": settings.image_pixels,
    }
    text = {
        "context_length": settings.context_length,
        "vocab_size": 49408,
        "width": settings.text_width,
        "heads": max(1, settings.text_width // 64),
        "layers": settings.text_layers,
    }
    model = {"embed_dim": settings.embedding_width, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def _identity(train: PixelPairs, held_out: PixelPairs, settings: TrainSettings, fingerprint: str) -> str:
    """What a checkpoint must share to be gone on from: the pictures, their captions, the settings, what it began as."""
    facts = [[(p.content, p.texts) for p in pairs.pictures] for pairs in (train, held_out)]
    return xxhash.xxh3_128_hexdigest(json.dumps([facts, asdict(settings), fingerprint, "from epoch 0"], default=str))
