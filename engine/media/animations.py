"""The frames of an animation and the pages of a TIFF, as Pillow steps through them, within limits.

How many there are is never asked for: a hostile file has millions, and counting them is the attack. Frames are looked
at one after another, up to a number and a time, and evenly spaced ones of those are kept.
"""

from collections.abc import Iterator

from PIL import Image

from engine.config import MediaSettings
from engine.media.contract import Frame
from engine.media.limits import deadline, evenly, passed
from engine.media.pixels import check_pixels, reduced, rgb, upright

ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_LOOKED_AT = 2000  # frames
_TIME_SHARE = 0.25
_SUBFILE, _SMALLER_COPY, _MASK = 254, 1, 4  # a TIFF's tag, and bits of it for what is no page


def further_frames(image: Image.Image, settings: MediaSettings, at_least: int) -> tuple[list[Frame], int]:
    """The frames after the first that are kept, in order, and how many frames or pages were found, the first included.

    What can no longer be decoded ends the file: the frames before it count.
    """
    kept: list[Frame] = []
    if image.format == "TIFF":
        return _pages(image, settings, at_least)
    if image.format not in ANIMATED:
        return kept, 1
    stride, count, room = 1, 1, 2 * settings.max_frames
    for number in _steps(image, settings):
        count = number + 1
        if number % stride:
            continue
        try:
            kept.append(_frame(image, number, settings, at_least))
        except Exception:
            break
        if len(kept) == room:  # with the first frame one too many: every second one goes
            kept, stride = kept[1::2], 2 * stride
    chosen = evenly(len(kept) + 1, settings.max_frames)
    return [kept[place - 1] for place in chosen if place], count


def _pages(image: Image.Image, settings: MediaSettings, at_least: int) -> tuple[list[Frame], int]:
    """The pages after the first; smaller copies and masks of a page are none."""
    kept: list[Frame] = []
    count = 1
    for _ in _steps(image, settings):
        if image.tag_v2.get(_SUBFILE, 0) & (_SMALLER_COPY | _MASK):  # type: ignore[attr-defined]
            continue
        count += 1
        if len(kept) + 1 < settings.max_pages:
            try:
                kept.append(_frame(image, count - 1, settings, at_least))
            except Exception:
                continue
    return kept, count


def _steps(image: Image.Image, settings: MediaSettings) -> Iterator[int]:
    """Seek to one frame after another, until there are no more or the limits are met."""
    until = deadline(settings.max_seconds, _TIME_SHARE)
    for number in range(1, max(_LOOKED_AT, settings.max_pages, settings.max_frames)):
        try:
            image.seek(number)
        except Exception:  # EOFError at the end, nearly anything where it is damaged
            return
        if passed(until):
            return
        yield number


def _frame(image: Image.Image, number: int, settings: MediaSettings, at_least: int) -> Frame:
    check_pixels(image.size, settings.max_pixels)
    whole = rgb(upright(image))
    return Frame(reduced(whole, at_least), *whole.size, position=number)
