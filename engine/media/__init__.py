"""Media files of every kind, decoded with limits: `read_media` finds the reader for a name's ending.

A reader is a module of its own, imported when a file first asks for it: most libraries hold few kinds.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path, PurePath

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Facts, Frame, Media, Passage
from engine.types import Modality

__all__ = ["Facts", "Frame", "Media", "Passage", "kind_of", "modality_of", "read_media"]

# ending -> (modality, module, function)
_PICTURE = (Modality.IMAGE, "pictures", "read_picture")
KINDS: Mapping[str, tuple[Modality, str, str]] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"), _PICTURE),
}


def kind_of(name: str) -> tuple[Modality, str, str] | None:
    """The modality and the reader for a file's name; None for a file that is no media."""
    return KINDS.get(PurePath(name).suffix.lower())


def modality_of(name: str) -> Modality | None:
    """What a file of this name is indexed as; None for a file that is no media."""
    kind = kind_of(name)
    return kind[0] if kind else None


def read_media(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """Decode a media file within the limits. Raises MediaError when it cannot be used.

    at_least: pixels of the shorter side down to which pictures may be reduced.
    """
    kind = kind_of(path.name)
    if kind is None:
        raise MediaError("decode", f"{path.suffix or 'no'} ending is no known kind of media", "rename the file")
    module = importlib.import_module(f"engine.media.{kind[1]}")
    found: Media = getattr(module, kind[2])(path, settings, at_least)
    return found
