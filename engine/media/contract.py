"""What reading a media file yields: frames, words and facts, whatever the kind of file."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from engine.types import Modality

if TYPE_CHECKING:
    from PIL.Image import Image

    from engine.config import MediaSettings


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a file: the picture itself, a page, a frame of an animation, a moment of a film.

    image: RGB, upright, possibly at a reduced scale. width, height: the upright size before any reduction.
    position: page or frame number from 0, or milliseconds into a film; the first frame of a file is its own picture.
    """

    image: "Image"
    width: int
    height: int
    position: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """Words found inside a file. source: exif, iptc, xmp, pdf, text, film, sound or ocr. position: as a frame's.

    lang: the code of their language as written there, such as en-GB; empty when none is said.
    """

    text: str
    source: str
    position: int = 0
    lang: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says of itself. taken_at: seconds since the epoch, by the camera's clock if no zone is known.

    latitude, longitude: degrees, north and east positive. place: words, the smallest part first. camera: maker and
    model. duration_ms: of a film or a sound. pages: how many pages or frames there are, kept or not.
    """

    taken_at: float | None = None
    camera: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    place: str | None = None
    title: str | None = None
    keywords: tuple[str, ...] = ()
    duration_ms: int | None = None
    pages: int | None = None

    def over(self, other: "Facts") -> "Facts":
        """These facts, the other's where these say nothing, and the keywords of both. A position is taken whole."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        said = {name: getattr(other, name) if value is None else value for name, value in said.items()}
        if self.latitude is not None:
            said["longitude"] = self.longitude
        said["keywords"] = tuple(dict.fromkeys((*self.keywords, *other.keywords)))
        return Facts(**said)


@dataclass(frozen=True, slots=True)
class Media:
    """A file as read. frames: none for sounds and plain words. passages: in the order of the file.

    content: the hash and the number of the bytes that it was made of, where all of them were in memory.
    """

    modality: Modality
    frames: tuple[Frame, ...] = ()
    passages: tuple[Passage, ...] = ()
    facts: Facts = field(default_factory=Facts)
    content: tuple[str, int] | None = None


Reader = Callable[[Path, "MediaSettings", int], Media]
"""read(path, settings, at_least): decode a file within the limits. Pictures may be reduced while their shorter side
keeps `at_least` pixels. Raises MediaError when the file cannot be used."""
