"""Sounds: recognised, with their duration and what they say of themselves. No encoder hears them yet."""

from pathlib import Path

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.containers import facts_of, opened, words_of
from engine.media.contract import Media
from engine.types import Modality


def read_sound(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """A sound file; the picture on its cover is left out. Its beginning is decoded, to know that it can be heard.

    Raises MediaError.
    """
    with opened(path, settings) as container:
        if not container.streams.audio:
            raise MediaError("decode", "it holds no sound", "check that the name's ending tells the truth")
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        if next(container.decode(stream), None) is None:
            raise MediaError("decode", "none of its sound can be decoded", "copy it again from its source")
        return Media(Modality.AUDIO, passages=words_of(container, "sound"), facts=facts_of(container))
