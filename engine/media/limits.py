"""What the readers share: time that ends before they are killed, even spacing, and damage told in words."""

import time

from engine.errors import MediaError

_LONGEST_REASON = 200  # characters


def damaged(error: BaseException) -> MediaError:
    """The MediaError for whatever a decoder raised on a damaged file."""
    if isinstance(error, MediaError):
        return error
    if isinstance(error, MemoryError):
        return MediaError("decode", "not enough memory to decode it", "lower media.max_pixels")
    said = " ".join(str(getattr(error, "strerror", None) or error).split())[:_LONGEST_REASON]
    reason = f"damaged or incomplete: {said}" if said else "damaged or incomplete"
    return MediaError("decode", reason, "copy it again from its source")


def evenly(count: int, most: int) -> list[int]:
    """Numbers from 0 up to `count`, at most `most` of them, evenly spaced, the first always among them."""
    return [number * count // most for number in range(most)] if count > most else list(range(count))


def deadline(max_seconds: float, share: float) -> float:
    """When a reader of many frames stops and keeps what it has, by time.monotonic(), well before it would be killed."""
    return time.monotonic() + max_seconds * share


def passed(moment: float) -> bool:
    """Whether a deadline is over."""
    return time.monotonic() > moment
