"""open_clip, imported in half the time.

torchvision and timm each touch torch's compiler while they are imported, which imports SymPy and thousands of files
more: half of all the seconds that pass before an encoder can be loaded. What they want of it, whether an operation can
be compiled and a mark that a function is not to be, matters only to those who compile; Rebus does not.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

_COMPILER = "torch._dynamo"


@contextmanager
def _without_compiler() -> Iterator[None]:
    """A stand-in for the compiler while others are imported; who asks for it later gets the real one."""
    if _COMPILER in sys.modules:
        yield
        return
    stand_in, utilities = ModuleType(_COMPILER), ModuleType(f"{_COMPILER}.utils")
    stand_in.disable = _unmarked  # type: ignore[attr-defined]
    utilities.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules |= {_COMPILER: stand_in, utilities.__name__: utilities}
    try:
        yield
    finally:
        del sys.modules[_COMPILER], sys.modules[utilities.__name__]
        vars(torch).pop("_dynamo", None)


def _unmarked(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Callable[..., Any]:
    return (lambda marked: marked) if function is None else function


def _is_compile_supported(device: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return bool(is_compile_supported(device))


with _without_compiler():
    import open_clip

__all__ = ["open_clip"]
