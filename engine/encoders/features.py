"""The encoder of a feature library: it stands for whatever made the vectors, which is not here, and encodes nothing.

Its spec says all there is to know, so that no file goes with it: `features:NAME/image=1280,text=300`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from PIL.Image import Image

from engine.errors import EncoderUnavailable, InvalidInput
from engine.media.fitting import ImageInput
from engine.types import F32, U8, Modality

PREFIX = "features:"
_NAME = re.compile(r"[\w][\w. -]{0,63}")
_SPEC = re.compile(rf"{PREFIX}(?P<name>[^/]+)/(?P<dims>[a-z]+=\d{{1,6}}(,[a-z]+=\d{{1,6}})*)", re.ASCII)
_WHAT_ELSE = (
    "search by an item of it, train a head that reads words itself (`rebus train`), or, if the vectors are an "
    "open_clip model's, import them again with --encoder"
)


class FeatureEncoder:
    """See engine.encoders.Encoder. Vectors have any length; heads and indexes make them unit rows.

    Two imports of one name and the same widths hold vectors of one space: their fingerprints are equal.
    """

    def __init__(self, name: str, dims: Mapping[Modality, int]) -> None:
        """Raises InvalidInput for a name that a spec cannot hold."""
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} cannot name features: use up to 64 letters, digits, spaces, dots and dashes")
        self.name = name
        self.dims: Mapping[Modality, int] = dict(dims)
        self.spec = f"{PREFIX}{name}/" + ",".join(f"{modality}={width}" for modality, width in sorted(dims.items()))
        self.fingerprint = hashlib.sha256(self.spec.encode()).hexdigest()
        self.image_input = ImageInput(1, 1)  # of no use: there is nothing to look at pictures with

    @classmethod
    def load(cls, spec: str) -> "FeatureEncoder":
        """From its spec. Raises EncoderUnavailable when it is none."""
        match = _SPEC.fullmatch(spec)
        try:
            if match is None:
                raise ValueError("it is not features:NAME/image=WIDTH")
            pairs = (part.split("=") for part in match["dims"].split(","))
            return cls(match["name"], {Modality(modality): int(width) for modality, width in pairs})
        except (ValueError, InvalidInput) as error:
            raise EncoderUnavailable(f"{spec} names no feature library ({error}): import it again") from None

    def encode_text(self, texts: Sequence[str]) -> F32:
        self._refuse("words")

    def pieces(self, word: str) -> int:
        return 0

    def encode_pixels(self, pixels: U8) -> F32:
        self._refuse("pictures")

    def encode_images(self, images: Sequence[Image]) -> F32:
        self._refuse("pictures")

    def _refuse(self, what: str) -> NoReturn:
        raise EncoderUnavailable(f"{self.name} was imported as features, and nothing here encodes {what}: {_WHAT_ELSE}")


def is_features(spec: str) -> bool:
    """Whether a spec names a feature library."""
    return spec.startswith(PREFIX)
