"""A recipe small enough to follow in a test, its data, and a teacher that needs no file: a tiny encoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.open_clip import OpenClipEncoder
from engine.types import F32, U8
from indexer.starter.recipe import Recipe, checked
from tests.conftest import draw_folder

SQUARE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><rect x="{0}" y="4" width="9" height="9"/></svg>'
)


class TinyTeacher:
    """Answers with what a tiny encoder makes of a picture, above zero, and with random classes of that."""

    name, pixels = "tiny", 32

    def __init__(self, folder: Path) -> None:
        self.encoder = OpenClipEncoder.load(str(folder), "cpu")
        self.classes = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)

    def look(self, picture: U8) -> tuple[F32, F32]:
        row: F32 = self.encoder.encode_pixels(picture[None])[0]
        features: F32 = np.maximum(row, 0) * 8
        logits: F32 = row @ self.classes
        return features, logits


def write_data(folder: Path) -> Path:
    """48 captioned pictures, of which every fifth is val, and eight icons with tags."""
    images = draw_folder(folder / "photos" / "images", 48)
    (images / "captions.jsonl").rename(folder / "photos" / "captions.jsonl")
    (folder / "icons").mkdir()
    for number in range(8):
        name = folder / "icons" / f"square-{number}"
        name.with_suffix(".svg").write_text(SQUARE.format(number))
        name.with_suffix(".json").write_text(json.dumps({"tags": ["box", f"shape {number}"]}))
    return folder


def small_recipe(**changes: Any) -> Recipe:
    """Over `write_data`'s folder: every stage, two epochs at most."""
    stage = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3}
    values = {
        "sources": [
            {"kind": "captions", "name": "photos", "folder": "photos", "views": 3},
            {"kind": "icons", "name": "icons", "folder": "icons", "views": 2, "held_out": 2},
        ],
        "teacher": "",
        "set_aside": 6,
        "space_seeds": 2,
        "low_pixels": 32,
        "high_pixels": 40,
        "student": {
            "image_tower": "test_resnet",
            "image_pixels": 48,
            "embedding_width": 32,
            "text_width": 32,
            "text_layers": 1,
            "context_length": 16,
            "merges": 300,
        },
        "space": {"epochs": 2, "dim": 64, "vocabulary": 256, "batch_size": 32},
        "text": stage,
        "image": stage,
        "both": stage | {"epochs": 1},
    }
    return checked({**values, **changes}, "the test")
