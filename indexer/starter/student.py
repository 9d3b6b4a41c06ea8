"""The student: an open_clip model of a recipe's shape, from random weights, and its tokenizer."""

from pathlib import Path
from typing import Any

import torch

from engine.encoders.imports import open_clip
from engine.errors import ConfigError
from indexer.pixel_towers import MEAN, STD, PixelTowers
from indexer.starter.recipe import Student


def make_student(student: Student, bpe: Path, seed: int) -> tuple[PixelTowers, Any]:
    """The towers and open_clip's tokenizer over the merges in the file `bpe`.

    Raises ConfigError for a tower that timm does not know, or cannot make for such pictures.
    """
    tokenizer = open_clip.SimpleTokenizer(bpe_path=str(bpe), context_length=student.context_length)
    shape = _shape(student, tokenizer.vocab_size)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = {name: value for name, value in shape["model_cfg"].items() if name != "custom_text"}
        try:
            model = open_clip.CustomTextCLIP(**config)
        except Exception as error:  # timm's and torch's kinds are many
            raise ConfigError(
                f"student.image_tower = {student.image_tower[:80]!r} cannot be made for {student.image_pixels} pixels "
                f"({str(error)[:200]}): name one of timm's towers, such as {Student.image_tower}"
            ) from None
    return PixelTowers(model.to(memory_format=torch.channels_last), shape), tokenizer


def _shape(student: Student, vocabulary: int) -> dict[str, Any]:
    """The model in open_clip's own form, so that any release of Rebus or open_clip can load it."""
    vision = {
        "timm_model_name": student.image_tower,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "",  # the tower's own last layer, as wide as the embedding
        "image_size": student.image_pixels,
    }
    text = {
        "context_length": student.context_length,
        "vocab_size": vocabulary,
        "width": student.text_width,
        "heads": max(n for n in range(1, 1 + max(1, student.text_width // 64)) if student.text_width % n == 0),
        "layers": student.text_layers,
    }
    model = {"embed_dim": student.embedding_width, "custom_text": True, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}
