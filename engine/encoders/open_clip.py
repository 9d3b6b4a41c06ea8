"""Any open_clip model as an encoder: from the hub, from a checkpoint, or from a folder of Rebus's own training."""

import functools
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os.path import expanduser
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xxhash
from PIL.Image import Image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.artifacts import MANIFEST, read_manifest
from engine.devices import choose_device
from engine.encoders import CONFIG_FILE, MERGES_FILE, PREFIX, STARTER, WEIGHTS_FILE, folder_of
from engine.encoders.imports import open_clip
from engine.encoders.inference import folded, keep_memory
from engine.errors import ArtifactError, EncoderUnavailable
from engine.media.fitting import ImageInput
from engine.types import F32, U8, Modality

_PART, _LEAST = 32, 4  # pictures or texts that one thread encodes at once; fewer are not worth parting
_FILLERS = (Tensor.uniform_, Tensor.normal_)
_FOLDER = "local-dir:"  # open_clip's own prefix


class OpenClipEncoder:
    """An open_clip model with its preprocessing and tokenizer, in inference mode on one device."""

    def __init__(
        self, spec: str, model: Any, preprocess: Callable[[Image], Tensor], tokenizer: Any, architecture: object
    ) -> None:
        self.spec, self._turn = spec, threading.Lock()
        # Pixels come with their channels last: convolutions that take them so need no other order, and are faster.
        self.model = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.tokenizer = tokenizer
        self.device = next(model.parameters()).device
        self.image_input, self._mean, self._deviation = _image_input(model.visual.preprocess_cfg)
        self.fingerprint = _fingerprint(model, preprocess, tokenizer, architecture)
        width = int(self.encode_text(["a"]).shape[1])
        self.dims: Mapping[Modality, int] = {Modality.TEXT: width, Modality.IMAGE: width}

    @classmethod
    def load(cls, spec: str, device: str = "auto") -> "OpenClipEncoder":
        """Load by spec (see load_encoder). Raises EncoderUnavailable."""
        logging.getLogger().addFilter(_serious)  # open_clip reports its every step to the root logger
        name, pretrained, canonical = _parse(spec)
        _check_files(spec, name)
        place = choose_device(device)
        try:
            architecture = _architecture(name)
            with _Unfilled():
                model, _, preprocess = open_clip.create_model_and_transforms(
                    name, pretrained=pretrained, device=place, require_pretrained=True
                )
            merges = _merges(name)
            tokenizer = open_clip.get_tokenizer(name, **merges)
        except Exception as error:  # the hub, the file system, safetensors and torch each raise kinds of their own
            raise EncoderUnavailable(_explain(spec, pretrained, error)) from error
        _check_vocabulary(spec, tokenizer, architecture, own=bool(merges))
        return cls(canonical, model, preprocess, tokenizer, architecture)

    def encode_text(self, texts: Sequence[str]) -> F32:
        return self._in_parts(lambda part: self._encode_tokens(texts[part]), len(texts))

    def pieces(self, word: str) -> int:
        known = isinstance(self.tokenizer, open_clip.SimpleTokenizer)
        return len(self.tokenizer.encode(word)) if known else 0

    @functools.cached_property
    def _for_pixels(self) -> Any:
        """The model as pixels are encoded with it; made when the first come, since queries of words need none."""
        return folded(self.model) if self.device.type == "cpu" else self.model

    def encode_pixels(self, pixels: U8) -> F32:
        with self._turn:  # once, before the parts of one batch or of two are encoded side by side
            assert self._for_pixels is not None
        return self._in_parts(lambda part: self._encode_pixels(pixels[part]), len(pixels))

    def encode_images(self, images: Sequence[Image]) -> F32:
        return self.encode_pixels(np.stack([self.image_input.fit(image) for image in images]))

    def _in_parts(self, encode: Callable[[slice], F32], count: int) -> F32:
        """On a CPU, small parts side by side, each on one thread; on a GPU all at once.

        Several threads inside one operation wait for each other at its end. Beside busy decoders that made regnetx_004
        up to ten times slower; parts that run apart wait for nothing. Where there are more cores than full parts, they
        are smaller: the first pictures of a run are to be found soon.
        """
        if self.device.type != "cpu":
            with self._turn:  # its memory is for one batch
                return encode(slice(0, count))
        if count < _LEAST:
            return encode(slice(0, count))
        size = min(_PART, -(-count // torch.get_num_threads()))
        parts = [slice(start, start + size) for start in range(0, count, size)]
        return np.concatenate(list(_parts_pool().map(encode, parts)))

    def _encode_tokens(self, texts: Sequence[str]) -> F32:
        with torch.inference_mode():
            return self._numpy(self.model.encode_text(self.tokenizer(list(texts)).to(self.device), normalize=True))

    def _encode_pixels(self, pixels: U8) -> F32:
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
            batch.sub_(self._mean.to(self.device)).div_(self._deviation.to(self.device))
            return self._numpy(
                self._for_pixels.encode_image(batch.contiguous(memory_format=torch.channels_last), normalize=True)
            )

    @staticmethod
    def _numpy(embeddings: Tensor) -> F32:
        unit = nn.functional.normalize(embeddings.float(), dim=-1)
        return np.asarray(unit.cpu().numpy(), np.float32)


class _Unfilled(TorchFunctionMode):
    """Layers that are made inside are not filled with random numbers, seconds of work that the weights replace.

    open_clip refuses weights that leave any layer out.
    """

    def __torch_function__(
        self, function: Any, types: Any, given: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        return given[0] if function in _FILLERS else function(*given, **(named or {}))


def _serious(record: logging.LogRecord) -> bool:
    """Of what is said to the root logger itself; what others say passes it by."""
    return record.levelno >= logging.ERROR


@functools.cache
def _parts_pool() -> ThreadPoolExecutor:
    """A thread a core, each of which lets torch use itself alone; other threads keep torch's own setting."""
    keep_memory()
    cores = torch.get_num_threads()
    return ThreadPoolExecutor(cores, "encode", initializer=torch.set_num_threads, initargs=(1,))


def _image_input(settings: Mapping[str, Any]) -> tuple[ImageInput, Tensor, Tensor]:
    """open_clip's preprocessing as the geometry of the input, and mean and deviation (1, 3, 1, 1) of 0..255 pixels."""
    size = settings["size"]
    height, width = size if isinstance(size, Sequence) else (size, size)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear" if settings["interpolation"] == "bilinear" else "bicubic"
    geometry = ImageInput(height, width, settings["resize_mode"], interpolation, settings["fill_color"])
    mean, deviation = (255 * torch.tensor(settings[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return geometry, mean, deviation


def _parse(spec: str) -> tuple[str, str | None, str]:
    """(open_clip's model name, its pretrained tag or checkpoint path, the spec with absolute paths)."""
    if not spec.startswith(PREFIX):
        folder = folder_of(spec)
        if not (folder / CONFIG_FILE).is_file():
            raise EncoderUnavailable(
                f"no encoder at {spec!r}: name a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, "
                f"a model as {PREFIX}ViT-B-32/laion2b_s34b_b79k, or {STARTER}, which comes with Rebus"
            )
        return f"{_FOLDER}{folder}", None, spec if spec == STARTER else str(folder)
    name, _, source = spec.removeprefix(PREFIX).partition("/")
    if name not in open_clip.list_models():
        raise EncoderUnavailable(f"open_clip has no model {name!r}: `open_clip.list_models()` names them all")
    path = Path(expanduser(source))
    if source and path.is_file():
        return name, str(path.absolute()), f"{PREFIX}{name}/{path.absolute()}"
    tags = open_clip.list_pretrained_tags_by_model(name)
    if source not in tags:
        raise EncoderUnavailable(
            f"{source!r} is neither a checkpoint file nor pretrained weights of {name}, "
            f"which are: {', '.join(tags) or 'none'}"
        )
    return name, source, spec


def _explain(spec: str, pretrained: str | None, error: Exception) -> str:
    cause = (str(error).splitlines() or [type(error).__name__])[0][:300]
    if pretrained and not Path(pretrained).exists():
        return (
            f"the weights of {spec} cannot be downloaded here ({cause}). Connect to the network once, or fetch the "
            f"checkpoint elsewhere and name it as {spec.rsplit('/', 1)[0]}/path/to/checkpoint, "
            "or train an encoder on your own captions with `rebus train --encoder`"
        )
    return f"the encoder {spec} cannot be loaded: {cause}. Check that its configuration and weights belong together"


def _architecture(name: str) -> object:
    """The model's configuration. Heads and activations are in no weight, yet change every embedding."""
    if name.startswith(_FOLDER):
        return json.loads((Path(name.removeprefix(_FOLDER)) / CONFIG_FILE).read_text(encoding="utf-8"))["model_cfg"]
    return open_clip.get_model_config(name)


def _check_files(spec: str, name: str) -> None:
    """What Rebus wrote has a manifest: altered weights would pass for another encoder. Raises EncoderUnavailable."""
    folder, bundled = Path(name.removeprefix(_FOLDER)), folder_of(STARTER)
    if not name.startswith(_FOLDER) or not (folder == bundled or (folder / MANIFEST).is_file()):
        return
    try:
        read_manifest(folder)
    except ArtifactError as error:
        repair = "install Rebus again" if folder == bundled else "bring the old files back, or choose another encoder"
        cause = str(error).removesuffix(": build it again")
        raise EncoderUnavailable(f"the encoder {spec} is not as it was made ({cause}): {repair}") from None


def _check_vocabulary(spec: str, tokenizer: Any, architecture: object, *, own: bool) -> None:
    """A byte-pair tokenizer must give the tokens that the text tower learned. Raises EncoderUnavailable.

    Else texts would have tokens that the tower has no rows for, or others' rows. own: the merges lie beside the
    weights. Some of open_clip's towers have more rows than its vocabulary has tokens.
    """
    if not isinstance(tokenizer, open_clip.SimpleTokenizer) or not isinstance(architecture, dict):
        return
    learned = architecture.get("text_cfg", {}).get("vocab_size", tokenizer.vocab_size)
    if tokenizer.vocab_size > learned or (own and tokenizer.vocab_size != learned):
        raise EncoderUnavailable(
            f"the encoder {spec} reads {learned:,} tokens, and its tokenizer knows {tokenizer.vocab_size:,}: put the "
            f"{MERGES_FILE} that it was trained with beside its weights"
        )


def _merges(name: str) -> dict[str, str]:
    """Where the tokenizer of a folder has merges of its own; open_clip's else."""
    merges = Path(name.removeprefix(_FOLDER)) / MERGES_FILE
    return {"bpe_path": str(merges)} if name.startswith(_FOLDER) and merges.is_file() else {}


def _fingerprint(model: Any, preprocess: object, tokenizer: Any, architecture: object) -> str:
    """xxh3 of the architecture, every weight, the preprocessing, the tokenizer's vocabulary and context length."""
    digest = xxhash.xxh3_128(json.dumps(architecture, sort_keys=True))
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    digest.update(repr(preprocess))
    digest.update(json.dumps([type(tokenizer).__name__, getattr(tokenizer, "context_length", None)]))
    digest.update(json.dumps(getattr(tokenizer, "encoder", None), sort_keys=True, default=str))
    return str(digest.hexdigest())
