"""Encoders: media to embeddings, and only that. `load_encoder` turns a name or a folder into one."""

from collections.abc import Mapping, Sequence
from os.path import expanduser, normpath
from pathlib import Path
from typing import Protocol

from PIL.Image import Image

from engine.media.fitting import ImageInput
from engine.types import F32, U8, Modality

PREFIX = "open_clip:"  # of a spec that names a model; any other is a folder
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
MERGES_FILE = "bpe.txt.gz"  # of a folder whose tokenizer has merges of its own, in the form of open_clip's file
STARTER = "starter"  # the spec of the encoder that comes with Rebus
STARTER_FOLDER = Path(__file__).parent.parent / "assets" / STARTER
HOME_FOLDER = "encoders"  # of a library: what was trained in it, each in a folder named by its content


class Encoder(Protocol):
    """A backbone. Embeddings are float32 rows of unit length; similarity is their inner product.

    dims: the width of the embedding of each modality it can encode. fingerprint: identity of weights,
    preprocessing and tokenizer; embeddings of different fingerprints never meet. spec: what loads it again.
    """

    spec: str
    fingerprint: str
    dims: Mapping[Modality, int]
    image_input: ImageInput

    def encode_text(self, texts: Sequence[str]) -> F32:
        """(n, d) of n texts; longer ones are cut to the context length."""
        ...

    def pieces(self, word: str) -> int:
        """Into how many tokens the tokenizer cuts a word; 0 where that cannot be told."""
        ...

    def encode_pixels(self, pixels: U8) -> F32:
        """(n, d) of pictures (n, height, width, 3) that `image_input` has fitted."""
        ...

    def encode_images(self, images: Sequence[Image]) -> F32:
        """(n, d) of n RGB pictures."""
        ...


def load_encoder(spec: str, device: str = "auto") -> Encoder:
    """Load `starter`, `open_clip:NAME/PRETRAINED`, `open_clip:NAME/path/to/checkpoint` or a folder with such a model.

    `features:...` stands for a feature library. device: auto, cpu or cuda. Raises EncoderUnavailable when the weights
    cannot be had.
    """
    from engine.encoders.features import FeatureEncoder, is_features

    if is_features(spec):
        return FeatureEncoder.load(spec)
    from engine.encoders.open_clip import OpenClipEncoder  # torch takes seconds to import: not before it is needed

    return OpenClipEncoder.load(spec, device)


def portable_spec(home: Path, spec: str) -> str:
    """A spec as the catalog keeps it: a folder of the library's own is named from its home, which may move.

    What comes with Rebus is named as such, wherever Rebus is installed.
    """
    folder = Path(spec)
    if folder == STARTER_FOLDER:
        return STARTER
    own = folder.parent == home / HOME_FOLDER or folder.parent == (home / HOME_FOLDER).resolve()
    return f"{HOME_FOLDER}/{folder.name}" if own else spec


def resolved_spec(home: Path, spec: str) -> str:
    """What `load_encoder` takes, from what the catalog keeps.

    A home that moved since it was written by an absolute path has its encoders still, under the same names.
    """
    folder = Path(spec)
    own = home / HOME_FOLDER / folder.name
    if spec == f"{HOME_FOLDER}/{folder.name}":
        return str(own)
    moved = folder.is_absolute() and folder.parent.name == HOME_FOLDER and not folder.exists() and own.is_dir()
    return str(own) if moved else spec


def weights_file(spec: str) -> Path | None:
    """The file that holds a spec's weights, whether or not it is there; None for what is named at a hub or imported."""
    if spec.startswith("features:"):
        return None
    if not spec.startswith(PREFIX):
        return folder_of(spec) / WEIGHTS_FILE
    path = Path(expanduser(spec.removeprefix(PREFIX).partition("/")[2]))
    return path if path.is_absolute() else None


def folder_of(spec: str) -> Path:
    """The folder that a spec names which is neither of open_clip's own nor of features.

    The home of an unknown user is left as it is written: there is no such folder. One folder is one path, so that
    `../encoder` and its full name are the same encoder.
    """
    return STARTER_FOLDER if spec == STARTER else Path(normpath(Path(expanduser(spec)).absolute()))
