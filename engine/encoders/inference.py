"""A model as it is used when nothing is learned: batch norm folded away, and memory kept from one batch to the next."""

import copy
import ctypes
import functools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from timm.layers.norm_act import BatchNormAct2d
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Of glibc's mallopt, in bytes: from which size memory is asked of the system and given back at once, how much that is
# free is kept, and by how much more it grows.
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
_KEPT = {_MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 256 * 2**20, _TOP_PAD: 64 * 2**20}


def folded(model: Any) -> Any:
    """The model in inference mode with each batch norm of its image tower folded into the convolution before it.

    It shares all else with the model, which stays as it is: it can still be trained and is what the fingerprint is of.
    A tower without batch norm, or one that cannot be traced, is shared too. Embeddings agree to some 1e-6.
    """
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in model.visual.modules()):
        return model
    visual = copy.deepcopy(model.visual)
    try:
        pairs = list(_pairs(visual))
    except Exception:  # tracing runs the model's own code, which may do what no trace can follow
        return model
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(visual.get_submodule(convolution), visual.get_submodule(norm))
        visual.set_submodule(convolution, fused)
        visual.set_submodule(norm, _after(visual.get_submodule(norm)))
    twin = copy.copy(model)
    twin._modules = {**model._modules, "visual": visual}
    return twin


class _Tracer(fx.Tracer):
    """Looks into all but batch norms, also those that have an activation in them."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


def _pairs(tower: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of convolutions and of the batch norms that alone hear of what they say; each is used once."""
    graph = _Tracer().trace(tower)
    calls = [node.target for node in graph.nodes if node.op == "call_module"]
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(tower.get_submodule(node.target), nn.BatchNorm2d):
            continue
        before = node.args[0]
        alone = before.op == "call_module" and len(before.users) == 1
        if alone and type(tower.get_submodule(before.target)) is nn.Conv2d:
            if calls.count(before.target) == calls.count(node.target) == 1:
                yield before.target, node.target


def _after(norm: nn.Module) -> nn.Module:
    """What is left of a batch norm that was folded: its activation."""
    return norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity()


@functools.cache
def keep_memory() -> None:
    """Let the C library keep the memory of one batch for the next, in this process, where it is glibc.

    By itself it gives each large piece back to the system, which clears it anew: a fifth of the encoder's time.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library, another system
        mallopt = ctypes.CDLL(None).mallopt
        for option, size in _KEPT.items():
            mallopt(option, size)
