"""The teacher: a network that was trained elsewhere, whose answers for a view the student learns to give."""

import threading
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engine.errors import EncoderUnavailable
from engine.types import F32, U8

_FEATURES, _LOGITS = "GlobalPool/Mean", "SpatialSqueeze/Reshape"


class Teacher(Protocol):
    """`look` may be called from several threads at once. name: what tells its answers from another's."""

    name: str
    pixels: int

    def look(self, picture: U8) -> tuple[F32, F32]:
        """Pooled features (f,), none below zero, and logits (c,), of a picture (pixels, pixels, 3)."""
        ...


class LiteTeacher:
    """An int8 MobileNetV2 in TFLite's form, run by ai-edge-litert, one interpreter a thread.

    The tensors before the softmax are in no signature: they are found by the names that TensorFlow gave them.
    """

    pixels = 224

    def __init__(self, path: Path) -> None:
        """Raises EncoderUnavailable where the file or what runs it is missing."""
        self.name, self._path, self._local = path.name, path, threading.local()
        self._interpreter()

    def look(self, picture: U8) -> tuple[F32, F32]:
        interpreter, features, logits = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        return _real(interpreter, features), _real(interpreter, logits)

    def _interpreter(self) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        if not hasattr(self._local, "made"):
            self._local.made = _load(self._path)
        made: tuple[Any, dict[str, Any], dict[str, Any]] = self._local.made
        return made


def _load(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise EncoderUnavailable(
            "the teacher is run by ai-edge-litert: install it with `pip install ai-edge-litert`"
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keeping every tensor, which is what is wanted here
            interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
        tensors = interpreter.get_tensor_details()
        features = next(one for one in tensors if _FEATURES in one["name"] and one["shape"].tolist() == [1, 1, 1, 1280])
        logits = next(one for one in tensors if one["name"].endswith(_LOGITS))
    except (ValueError, RuntimeError, StopIteration) as error:
        raise EncoderUnavailable(f"{path} is no teacher that can be read ({error}): check --data") from None
    return interpreter, features, logits


def _real(interpreter: Any, tensor: dict[str, Any]) -> F32:
    scale, zero = tensor["quantization"]
    values: F32 = (interpreter.get_tensor(tensor["index"]).astype(np.float32).ravel() - zero) * np.float32(scale)
    return values
