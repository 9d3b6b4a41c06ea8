"""What is asked of a decoder, and what it makes of a file."""

from dataclasses import dataclass

from engine.media import Facts, Passage
from engine.media.fitting import ImageInput
from engine.types import U8, Modality


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame ready for the encoder: pixels as its ImageInput has them. thumbnail: bytes of the one that was stored."""

    position: int
    width: int
    height: int
    phash: str | None
    pixels: U8
    thumbnail: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file ready to be written to the library."""

    modality: Modality
    content_hash: str
    bytes: int
    frames: tuple[DecodedFrame, ...]
    passages: tuple[Passage, ...]
    facts: Facts


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a decoder makes of each frame. home: the library whose thumbnails it stores, "" for none.

    phash: whether to compute one.
    """

    input: ImageInput
    home: str = ""
    thumbnail_pixels: int = 0
    phash: bool = True

    @property
    def at_least(self) -> int:
        """Pixels of the shorter side that pictures must keep."""
        return max(self.input.shorter_side, self.thumbnail_pixels)
