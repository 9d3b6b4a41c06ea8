"""A Rebus that comes with other weights than this one."""

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from engine.artifacts import write_artifact
from engine.encoders import CONFIG_FILE, MERGES_FILE, STARTER_FOLDER, WEIGHTS_FILE


def write_other_starter(folder: Path) -> Path:
    """What the next release may come with: the same model, with other words."""
    with write_artifact(folder, {"kind": "encoder"}) as temporary:
        for name in (CONFIG_FILE, MERGES_FILE, "LICENSE"):
            shutil.copyfile(STARTER_FOLDER / name, temporary / name)
        weights = load_file(STARTER_FOLDER / WEIGHTS_FILE)
        weights["text.token_embedding.weight"] *= 1.5
        save_file(weights, temporary / WEIGHTS_FILE)
    return folder
