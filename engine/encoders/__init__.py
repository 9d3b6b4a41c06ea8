"""Encoders: media to embeddings, and only that. `load_encoder` turns a name or a folder into one."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL.Image import Image

from engine.types import F32, Modality


class Encoder(Protocol):
    """A backbone. Embeddings are float32 rows of unit length; similarity is their inner product.

    dims: the width of the embedding of each modality it can encode. fingerprint: identity of weights,
    preprocessing and tokenizer; embeddings of different fingerprints never meet. spec: what loads it again.
    """

    spec: str
    fingerprint: str
    dims: Mapping[Modality, int]

    @property
    def image_pixels(self) -> int:
        """Pixels of the shorter side that a decoded picture should have at least."""
        ...

    def encode_text(self, texts: Sequence[str]) -> F32:
        """(n, d) of n texts; longer ones are cut to the context length."""
        ...

    def prepare_image(self, image: Image) -> F32:
        """One picture as the encoder's input (3, height, width). Thread-safe, so decoders can do it."""
        ...

    def encode_prepared(self, inputs: Sequence[F32]) -> F32:
        """(n, d) of n prepared pictures."""
        ...

    def encode_images(self, images: Sequence[Image]) -> F32:
        """(n, d) of n RGB pictures."""
        ...


def load_encoder(spec: str, device: str = "auto") -> Encoder:
    """Load `open_clip:NAME/PRETRAINED`, `open_clip:NAME/path/to/checkpoint` or a folder with an open_clip model.

    device: auto, cpu or cuda. Raises EncoderUnavailable when the weights cannot be had.
    """
    from engine.encoders.open_clip import (
        OpenClipEncoder,
    )  # torch takes seconds to import: not before it is needed

    return OpenClipEncoder.load(spec, device)
