"""`rebus train --encoder`: a small open_clip model, from random weights, on the library's own pictures and captions."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.aligners import Aligner
from engine.artifacts import write_artifact
from engine.catalog import Catalog
from engine.config import Config, TrainSettings
from engine.devices import choose_device
from engine.encoders import CONFIG_FILE, WEIGHTS_FILE, Encoder, load_encoder
from engine.encoders.imports import open_clip
from engine.types import F32, I64, Modality
from indexer.jobs import Tell
from indexer.metrics import pair_ranks
from indexer.objectives import Batch
from indexer.objectives.ranking import InfoNCE
from indexer.pairs import PixelPairs
from indexer.splits import captioned, split
from indexer.train import TrainingReport, fit

_LOW_SHARE, _LOW_PIXELS = (
    0.6,
    2 / 3,
)  # the first epochs see smaller pictures: most is learned at half the cost
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_EVALUATION_BATCH = 128


class PixelTowers(Aligner):
    """An open_clip model as an aligner from pixels (n, 3, h, w) in 0..1 and tokens (n, t)."""

    kind = "pixels"

    def __init__(self, model: Any, shape: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.dim, self.shape = model, shape["model_cfg"]["embed_dim"], shape
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        device = self.mean.device
        if modality is Modality.TEXT:
            out: Tensor = self.model.encode_text(x.to(device), normalize=True)
        else:
            pixels = (x.to(device) - self.mean) / self.std
            out = self.model.encode_image(pixels.contiguous(memory_format=torch.channels_last), normalize=True)
        return out.float()


def train_encoder(
    catalog: Catalog, config: Config, tell: Tell, hear: Callable[[dict[str, float], int, int], None]
) -> tuple[Encoder, TrainingReport]:
    """Fit, save under the library's `encoders/`, and load. An interrupted run of the same data and settings goes on.

    `hear(figures, epoch, epochs)` is told of each epoch. Raises InvalidInput when there are too few captions.
    """
    settings = config.train
    parts = split(captioned(catalog, config.captions.languages[0]), settings)
    torch.manual_seed(settings.seed)
    model_config = _model_config(settings)
    model = open_clip.CLIP(**model_config["model_cfg"]).to(memory_format=torch.channels_last)
    device = choose_device(config.encoder.device)
    towers, objective = PixelTowers(model, model_config).to(device), InfoNCE().to(device)
    tokenizer = open_clip.SimpleTokenizer(context_length=settings.context_length)
    folder = config.home / "training"

    def decode(pictures: Any) -> PixelPairs:
        return PixelPairs.decode(pictures, tokenizer, settings.image_pixels, config.media, folder, tell)

    train, held_out = decode(parts.train), decode(parts.held_out)
    size = min(settings.batch_size, len(train))

    def batches(epoch: int, epochs: int, generator: torch.Generator) -> Iterator[Batch]:
        low = epoch < _LOW_SHARE * epochs
        pixels = max(32, int(settings.image_pixels * (_LOW_PIXELS if low else 1)))
        done = 0
        for batch in train.batches(size, settings.captions_per_image, generator, pixels, settings.smallest_crop):
            yield batch
            done += size
            tell(f"training, epoch {epoch + 1} of {epochs}", min(done, len(train)), len(train))

    checkpoint = folder / "encoder.pt"
    report = fit(
        towers,
        objective,
        batches,
        len(train) // size,
        lambda aligner: evaluate_towers(aligner, held_out, settings.image_pixels),
        settings,
        checkpoint,
        _identity(train, held_out, settings),
        hear,
    )
    spec = _save(towers, model_config, report, config.home / "encoders")
    checkpoint.unlink(missing_ok=True)
    return load_encoder(str(spec), config.encoder.device), report


@torch.inference_mode()
def evaluate_towers(aligner: Aligner, pairs: PixelPairs, pixels: int) -> dict[str, float]:
    """Recall at 1, 5 and 10 both ways over the held-out pictures, and "r10": their mean at 10."""
    images = [
        aligner.project(nn.functional.interpolate(pairs.images(rows), size=(pixels, pixels), **_RESIZE), Modality.IMAGE)
        for rows in torch.split(torch.arange(len(pairs)), _EVALUATION_BATCH)
    ]
    tokens = torch.cat(pairs.tokens)
    texts = [aligner.project(part, Modality.TEXT) for part in torch.split(tokens, _EVALUATION_BATCH)]
    owner: I64 = torch.repeat_interleave(torch.tensor([len(t) for t in pairs.tokens])).numpy()
    ranks = pair_ranks(_array(images), _array(texts), owner)
    return {**ranks.figures(), "r10": ranks.r10}


_RESIZE: dict[str, Any] = {"mode": "bicubic", "antialias": True, "align_corners": False}


def _array(parts: list[Tensor]) -> F32:
    out: F32 = torch.cat(parts).cpu().numpy()
    return out


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
    preprocess = {"mean": _MEAN, "std": _STD, "interpolation": "bicubic", "resize_mode": "squash"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def _identity(train: PixelPairs, held_out: PixelPairs, settings: TrainSettings) -> str:
    """What a checkpoint must share to be gone on from: the pictures, their captions, and the settings."""
    facts = [[(p.content, p.texts) for p in pairs.pictures] for pairs in (train, held_out)]
    return xxhash.xxh3_128_hexdigest(json.dumps([facts, asdict(settings)], default=str))


def _save(towers: PixelTowers, model_config: dict[str, Any], report: TrainingReport, parent: Path) -> Path:
    """An open_clip folder, named by its content: its configuration and float16 weights."""
    weights = {name: _halved(tensor) for name, tensor in towers.model.state_dict().items()}
    digest = xxhash.xxh3_128(json.dumps(model_config, sort_keys=True))
    for tensor in weights.values():
        digest.update(tensor.numpy().tobytes())
    folder = parent / digest.hexdigest()[:16]
    with write_artifact(folder, {"kind": "encoder", "training": asdict(report)}) as temporary:
        (temporary / CONFIG_FILE).write_text(json.dumps(model_config, indent=1) + "\n", encoding="utf-8")
        save_file(weights, temporary / WEIGHTS_FILE)
    return folder


def _halved(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
