"""Words inside pictures, read by the tesseract program where it is installed and `media.ocr` is on."""

import io
import math
import re
import subprocess
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
_OLDEST = (3, 5)  # the first that writes words with how sure it is of each
_VERSION = re.compile(r"^tesseract v?(\d+)\.(\d+)", re.MULTILINE)
_LANGUAGE = re.compile(r"[\w/]+", re.ASCII)
_INSTEAD = "install tesseract-ocr, or set media.ocr = false"


def check_ocr(settings: MediaSettings) -> None:
    """Raise ConfigError when words inside pictures are wanted, and the program or a language of it is not to be had."""
    if not settings.ocr:
        return
    said = _ask("--version", settings)
    version = _VERSION.search(said)
    if not version:
        raise ConfigError(
            f"media.ocr is on, but the program called tesseract does not say which tesseract it is "
            f"(it says: {one_line(said, 100) or 'nothing'}): {_INSTEAD}"
        )
    if (int(version[1]), int(version[2])) < _OLDEST:
        raise ConfigError(f"media.ocr is on, but {version[0]} is older than 3.05: {_INSTEAD}")
    known = [line for line in _ask("--list-langs", settings).split("\n") if _LANGUAGE.fullmatch(line)]
    for language in settings.ocr_languages.split("+"):
        if language not in known:
            have = ", ".join(name for name in known if name != "osd") or "none"
            raise ConfigError(
                f"media.ocr_languages names {language!r}, which tesseract has not (it has {have}): "
                f"install tesseract-ocr-{language}, or change the setting"
            )


def _ask(option: str, settings: MediaSettings) -> str:
    """What the program says of itself, on either channel: which one it takes depends on its version."""
    try:
        said = subprocess.run(
            ["tesseract", option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=settings.max_seconds,
            check=False,
        ).stdout
    except FileNotFoundError:
        raise ConfigError(f"media.ocr is on, but the tesseract program is missing: {_INSTEAD}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"media.ocr is on, but the tesseract program does not run ({error}): {_INSTEAD}") from None
    return said.decode(errors="replace").replace("\r\n", "\n")


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
    left = until - time.monotonic()
    if left < 1:
        return ""
    image = frame.image
    scale = math.sqrt(_MOST_PIXELS / (image.width * image.height))
    if scale < 1:
        size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=1)
    command = ["tesseract", "stdin", "stdout", "-l", settings.ocr_languages, "-c", "tessedit_create_tsv=1"]
    try:
        found = subprocess.run(
            command,
            input=png.getbuffer(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=left,
            check=True,
        ).stdout
    except (MemoryError, OSError, subprocess.SubprocessError):  # it failed or took too long: no words, then
        return ""
    return one_line(" ".join(_sure(found.decode(errors="replace"))), MOST_CHARACTERS)


def _sure(table: str) -> Iterator[str]:
    """The words of tesseract's table of tab-separated values: a line each, how sure it is and the word come last."""
    for line in table.split("\n")[1:]:
        *_, certainty, word = ["", *line.rstrip("\r").split("\t")]
        if _is_sure(certainty) and any(character.isalnum() for character in word):
            yield word


def _is_sure(certainty: str) -> bool:
    try:
        return float(certainty) >= _SURE
    except ValueError:
        return False
