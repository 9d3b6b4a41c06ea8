"""Words inside pictures, read by the tesseract program where it is installed and `media.ocr` is on."""

import math
import time
from collections.abc import Iterator

from PIL import Image

from engine.config import MediaSettings
from engine.errors import ConfigError
from engine.media.contract import Frame, Media, Passage
from engine.media.values import one_line

MOST_CHARACTERS = 2000  # of one picture
SHORTER_SIDE = 1000  # pixels that letters need of a page or a screen
_MOST_PIXELS = 4_000_000
_SURE = 60.0  # per cent; on photographs without words tesseract stays below
_TIME_SHARE = 0.75  # of max_seconds, decoding included: a reader that takes all of it is killed
_MISSING = "media.ocr is on, but the tesseract program is missing: install tesseract-ocr, or set media.ocr = false"


def check_ocr(settings: MediaSettings) -> None:
    """Raise ConfigError when words inside pictures are wanted, and the program or a language of it is missing."""
    if not settings.ocr:
        return
    import pytesseract  # a third of a second, for what is mostly off

    try:
        known = pytesseract.get_languages()
    except (OSError, RuntimeError):  # not there, or not to be run
        raise ConfigError(_MISSING) from None
    for language in settings.ocr_languages.split("+"):
        if language not in known:
            have = ", ".join(name for name in known if name != "osd") or "none"
            raise ConfigError(
                f"media.ocr_languages names {language!r}, which tesseract has not (it has {have}): "
                f"install tesseract-ocr-{language}, or change the setting"
            )


def enough_pixels(settings: MediaSettings, at_least: int) -> int:
    """Pixels of the shorter side down to which pictures may be reduced before their words are read."""
    return max(at_least, SHORTER_SIDE) if settings.ocr else at_least


def words_in(media: Media, settings: MediaSettings, started: float) -> tuple[Passage, ...]:
    """The words of each frame that has no text of its own; none when `media.ocr` is off.

    started: when reading the file began, by time.monotonic(). Frames for which no time is left go without.
    """
    if not settings.ocr:
        return ()
    until = started + _TIME_SHARE * settings.max_seconds
    spelled = {passage.position for passage in media.passages if passage.source == "pdf"}
    wordless = (frame for frame in media.frames if frame.position not in spelled)
    return tuple(Passage(text, "ocr", frame.position) for frame in wordless if (text := _read(frame, settings, until)))


def _read(frame: Frame, settings: MediaSettings, until: float) -> str:
    import pytesseract

    left = until - time.monotonic()
    if left < 1:
        return ""
    image = frame.image
    scale = math.sqrt(_MOST_PIXELS / (image.width * image.height))
    if scale < 1:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    try:
        found = pytesseract.image_to_data(
            image, lang=settings.ocr_languages, timeout=left, output_type=pytesseract.Output.DICT
        )
        words = " ".join(_sure(found["text"], found["conf"]))
    except (LookupError, OSError, RuntimeError, TypeError, ValueError):  # it failed or took too long: no words, then
        return ""
    return one_line(words, MOST_CHARACTERS)


def _sure(words: list[str], certainty: list[float]) -> Iterator[str]:
    for word, sure in zip(words, certainty, strict=True):
        if float(sure) >= _SURE and any(character.isalnum() for character in word):
            yield word
