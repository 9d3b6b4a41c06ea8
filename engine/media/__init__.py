"""Media files of every kind, decoded with limits: `read_media` finds the reader for a name's ending.

A reader is a module of its own, imported when a file first asks for it: most libraries hold few kinds. What a file is
indexed as follows from its name alone, so that a walk opens nothing; what its bytes are is the reader's to find.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Facts, Frame, Media, Passage
from engine.media.limits import damaged
from engine.types import Modality

__all__ = ["Facts", "Frame", "Media", "Passage", "kind_of", "modality_of", "read_media"]

# ending -> (modality, module, function)
Kind = tuple[Modality, str, str]


def _kinds(endings: str, *kind: *Kind) -> dict[str, Kind]:
    return dict.fromkeys(endings.split(), kind)


KINDS: Mapping[str, Kind] = {
    **_kinds(
        ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .tif .tiff .bmp .avif .heic .heif .hif",
        *(Modality.IMAGE, "pictures", "read_picture"),
    ),
    **_kinds(".svg", Modality.IMAGE, "drawings", "read_drawing"),
    **_kinds(".cr2 .cr3 .nef .arw .dng .raf .orf .rw2 .pef .srw", Modality.IMAGE, "raw", "read_raw"),
    **_kinds(".pdf", Modality.IMAGE, "pdf", "read_pdf"),
    **_kinds(".txt .md", Modality.TEXT, "text", "read_words"),
    **_kinds(
        ".mp4 .mov .m4v .mkv .webm .avi .mpg .mpeg .wmv .3gp .mts .m2ts",
        *(Modality.VIDEO, "film", "read_film"),
    ),
    **_kinds(
        ".mp3 .wav .flac .ogg .opus .m4a .aac .wma .aif .aiff",
        *(Modality.AUDIO, "sound", "read_sound"),
    ),
}


def kind_of(name: str) -> Kind | None:
    """The modality and the reader for a file's name; None for a file that is no media. A path will do as well."""
    dot = name.rfind(".")
    return KINDS.get(name[dot:].lower()) if dot > 0 and name[dot - 1] != "/" else None


def modality_of(name: str) -> Modality | None:
    """What a file of this name is indexed as; None for a file that is no media."""
    kind = kind_of(name)
    return kind[0] if kind else None


def read_media(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """Decode a media file within the limits. Raises MediaError, and nothing else, when it cannot be used.

    at_least: pixels of the shorter side down to which pictures may be reduced.
    """
    kind = kind_of(path.name)
    if kind is None:
        raise MediaError("decode", f"{path.suffix or 'no'} ending is no known kind of media", "rename the file")
    module = importlib.import_module(f"engine.media.{kind[1]}")
    try:
        found: Media = getattr(module, kind[2])(path, settings, at_least)
    except Exception as error:  # decoders raise nearly anything on damaged data; none of it may stop a run
        raise damaged(error) from None
    return found
