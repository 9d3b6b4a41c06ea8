"""A tiny open_clip model, made in a second."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from engine.encoders import CONFIG_FILE, WEIGHTS_FILE

MODEL = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write the model with random weights into `folder`, as open_clip lays it out."""
    torch.manual_seed(seed)
    model = open_clip.CLIP(**MODEL)
    (folder / CONFIG_FILE).write_text(json.dumps({"model_cfg": MODEL, "preprocess_cfg": {"resize_mode": "squash"}}))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_FILE)
    return folder
