"""A model with its batch norms folded away says what it said before, and stays what it was for training."""

from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

from engine.encoders.inference import folded

TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
TIMM = {"timm_model_pretrained": False, "timm_pool": "avg", "timm_proj": "linear", "image_size": 32}
TOWERS: dict[str, dict[str, Any]] = {
    "a plain batch norm": {**TIMM, "timm_model_name": "hgnetv2_b0", "timm_proj": ""},
    "one with its activation": {**TIMM, "timm_model_name": "regnetx_002"},
    "open_clip's own ResNet": {"layers": [1, 1, 1, 1], "width": 8, "image_size": 64, "head_width": 16},
}


def norms(model: Any) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in model.visual.modules())


def drawn_norms(model: nn.Module) -> nn.Module:
    """As training leaves them: a new one's means are 0 and its variances 1."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 2)
            layer.weight.data.uniform_(0.5, 1.5)
    return model.eval()


@pytest.mark.parametrize("tower", TOWERS)
@torch.inference_mode()
def test_folded_towers_say_the_same_and_have_no_batch_norm(tower: str) -> None:
    torch.manual_seed(0)
    model: Any = drawn_norms(open_clip.CLIP(32, TOWERS[tower], TEXT))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pixels = torch.rand(3, 3, TOWERS[tower]["image_size"], TOWERS[tower]["image_size"])
    twin = folded(model)
    assert norms(model) > 0 == norms(twin)
    torch.testing.assert_close(twin.encode_image(pixels), model.encode_image(pixels), atol=1e-5, rtol=1e-4)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert twin.transformer is model.transformer


def test_a_tower_without_batch_norm_is_shared() -> None:
    model: Any = open_clip.CLIP(32, {"image_size": 32, "layers": 1, "width": 32, "head_width": 16}, TEXT)
    assert folded(model) is model


class Tower(nn.Module):
    """A convolution whose output is heard twice, one that is used twice, and one that may be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.used, self.free = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        heard = self.heard(x)
        used: Tensor = self.norms[1](self.used(heard + self.norms[0](heard)))
        return self.used(used) + self.norms[2](self.free(used))  # type: ignore[no-any-return]


class Asking(Tower):
    """Code that asks a value, which a trace does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else x


class Model(nn.Module):
    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual


@torch.inference_mode()
def test_only_what_nothing_else_hears_is_folded() -> None:
    torch.manual_seed(0)
    model: Any = drawn_norms(Model(Tower()))
    twin, pixels = folded(model), torch.rand(2, 3, 4, 4)
    assert (norms(model), norms(twin)) == (3, 2)
    torch.testing.assert_close(twin.visual(pixels), model.visual(pixels))


def test_what_cannot_be_traced_stays_as_it_is() -> None:
    model: Any = drawn_norms(Model(Asking()))
    assert folded(model) is model
