"""An open_clip model as an aligner from pixels and tokens: what encoders are trained as, and how they are judged."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors.torch import save
from torch import Tensor, nn

from engine.aligners import Aligner
from engine.artifacts import write_artifact
from engine.encoders import CONFIG_FILE, MERGES_FILE, WEIGHTS_FILE
from engine.types import I64, Modality
from indexer.metrics import PairRanks, pair_ranks

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_BATCH = 128


class PixelTowers(Aligner):
    """An open_clip model as an aligner from pixels (n, 3, h, w) in 0..1 and tokens (n, t)."""

    kind = "pixels"

    def __init__(self, model: Any, shape: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.dim, self.shape = model, shape["model_cfg"]["embed_dim"], shape
        self.mean: Tensor
        self.std: Tensor
        given = {"mean": MEAN, "std": STD, **shape["preprocess_cfg"]}
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(given[name]).view(1, 3, 1, 1), persistent=False)

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        if modality is Modality.TEXT:
            out = self._encode_text(x.to(self.mean.device))
        else:
            out = self.model.encode_image(self._normalized(x), normalize=True)
        return out.float()

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features (n, f) of a timm tower, before its last layer, and unit rows (n, dim)."""
        trunk, head = self.model.visual.trunk, self.model.visual.head
        pooled: Tensor = trunk.forward_head(trunk.forward_features(self._normalized(x)), pre_logits=True)
        return pooled, nn.functional.normalize(head(trunk.get_classifier()(pooled)), dim=-1)

    @property
    def parameter_count(self) -> int:
        """How many numbers were learned by gradients: statistics of batches are none of them."""
        return sum(one.numel() for one in self.model.parameters())

    def _normalized(self, x: Tensor) -> Tensor:
        pixels = (x.to(self.mean.device) - self.mean) / self.std
        return pixels.contiguous(memory_format=torch.channels_last)

    def _encode_text(self, tokens: Tensor) -> Tensor:
        """Without the columns that only pad, which an embedding does not hang on: most texts are short."""
        tower = getattr(self.model, "text", None)
        whole = getattr(tower, "attn_mask", None)
        if whole is None:
            out: Tensor = self.model.encode_text(tokens, normalize=True)
            return out
        longest = int((tokens > 0).sum(1).amax())
        tower.attn_mask = whole[:longest, :longest]  # type: ignore[union-attr]
        try:
            out = self.model.encode_text(tokens[:, :longest], normalize=True)
        finally:
            tower.attn_mask = whole  # type: ignore[union-attr]
        return out


def evaluate(aligner: Aligner, images: Iterable[Tensor], tokens: Sequence[Tensor]) -> dict[str, float]:
    """Recall at 1, 5 and 10 both ways, and "r10": their mean at 10.

    images: batches (b, 3, h, w) of the tower's own size; tokens: (t, c) of each picture in turn.
    """
    return figures_of(rank(aligner, images, tokens))


def recalls(rows: Tensor, aligner: Aligner, tokens: Sequence[Tensor]) -> dict[str, float]:
    """The same of pictures whose unit rows (n, d) are known."""
    return figures_of(_ranks(rows, aligner, tokens))


def figures_of(ranks: PairRanks) -> dict[str, float]:
    """What `evaluate` gives, of ranks."""
    return {**ranks.figures(), "r10": ranks.r10}


@torch.inference_mode()
def rank(aligner: Aligner, images: Iterable[Tensor], tokens: Sequence[Tensor]) -> PairRanks:
    """Rank every picture for every text, and back; see `evaluate`."""
    return _ranks(torch.cat([aligner.project(batch, Modality.IMAGE) for batch in images]), aligner, tokens)


@torch.inference_mode()
def _ranks(rows: Tensor, aligner: Aligner, tokens: Sequence[Tensor]) -> PairRanks:
    texts = [aligner.project(part, Modality.TEXT) for part in torch.split(torch.cat(list(tokens)), _BATCH)]
    owner: I64 = torch.repeat_interleave(torch.tensor([len(t) for t in tokens])).numpy()
    return pair_ranks(rows.cpu().numpy(), torch.cat(texts).cpu().numpy(), owner)


def save_towers(
    towers: PixelTowers,
    facts: Mapping[str, Any],
    parent: Path,
    merges: Path | None,
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """An open_clip folder below `parent`, named by its content: configuration, float16 weights, a tokenizer's merges.

    facts: JSON values for its manifest. files: others to keep beside.
    """
    weights = {name: _halved(tensor) for name, tensor in towers.model.state_dict().items()}
    digest = xxhash.xxh3_128(json.dumps(towers.shape, sort_keys=True))
    for tensor in weights.values():
        digest.update(tensor.numpy().tobytes())
    folder = parent / digest.hexdigest()[:16]
    with write_artifact(folder, {"kind": "encoder", **facts}) as temporary:
        (temporary / CONFIG_FILE).write_text(json.dumps(towers.shape, indent=1) + "\n", encoding="utf-8")
        (temporary / WEIGHTS_FILE).write_bytes(save(weights))  # `save_file` lets nobody else read what it writes
        if merges is not None:
            shutil.copyfile(merges, temporary / MERGES_FILE)
        for name, data in (files or {}).items():
            (temporary / name).write_bytes(data)
    return folder


def _halved(tensor: Tensor) -> Tensor:
    return (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
