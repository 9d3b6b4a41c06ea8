"""A tiny open_clip model, made and loaded in a moment."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.encoders import CONFIG_FILE, MERGES_FILE, WEIGHTS_FILE
from engine.encoders.imports import open_clip
from indexer.starter.words import write_merges

MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_tiny_model(folder: Path, seed: int = 0, merges: int | None = 3_000) -> Path:
    """Write the model with random weights into `folder`, as open_clip lays it out.

    merges: how many of open_clip's byte-pair vocabulary it knows, beside its weights; None: all, and no file of them.
    Reading all takes longer than everything else that loading this model does.
    """
    made = MODEL
    if merges is not None:
        write_merges(folder / MERGES_FILE, merges)
        tokens = 2 * 256 + merges + 2  # bytes, bytes that end a word, and where a text begins and ends
        made = MODEL | {"text_cfg": MODEL["text_cfg"] | {"vocab_size": tokens}}
    torch.manual_seed(seed)
    model = open_clip.CLIP(**made)
    (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": made, "preprocess_cfg": {"resize_mode": "squash"}}))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)
    return folder
