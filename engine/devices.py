"""Where tensors live: chosen at run time, never fixed."""

import torch

from engine.errors import ConfigError


def choose_device(wanted: str, setting: str = "encoder.device") -> torch.device:
    """auto (cuda when there is one), cpu or cuda. Raises ConfigError for cuda without a usable GPU."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise ConfigError(f"device cuda was asked for, but no usable GPU is here: set {setting} to auto or cpu")
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and available) else "cpu")
