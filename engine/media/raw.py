"""Raw files of cameras, by the preview that the camera put into them; developed at half size where there is none."""

from dataclasses import replace
from datetime import UTC
from pathlib import Path

import rawpy
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Frame, Media
from engine.media.facts import facts_of_raw
from engine.media.files import open_file, read_file
from engine.media.limits import damaged
from engine.media.pictures import decode_picture, read_picture
from engine.media.pixels import check_pixels, rgb
from engine.types import Modality

# LibRaw's flip: how a picture as the sensor has it is turned to be upright
_TURNS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}


def read_raw(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """The preview of a raw file, upright; width and height are those of the whole picture. Raises MediaError."""
    try:
        with open_file(path, settings.max_bytes) as file, rawpy.imread(file) as raw:
            size = raw.sizes.width, raw.sizes.height
            check_pixels(size, settings.max_pixels)
            image = _preview(raw, settings, at_least)
            if image is None or min(image.size) < at_least // 2:  # some cameras keep a stamp of 160 pixels only
                image = _developed(raw, image)
            upright = size if (size[0] >= size[1]) == (image.width >= image.height) else size[::-1]
            facts, passages = facts_of_raw(file)
            if facts.taken_at is None:
                facts = replace(facts, taken_at=_taken_at(raw))
            return Media(Modality.IMAGE, (Frame(image, *upright),), passages, facts)
    except rawpy.LibRawFileUnsupportedError:
        return _another_kind(path, settings, at_least)
    except rawpy.LibRawError as error:
        raise damaged(ValueError(_said(error))) from None


def _preview(raw: rawpy.RawPy, settings: MediaSettings, at_least: int) -> Image.Image | None:
    """The embedded preview, upright; None when there is none that can be decoded."""
    try:
        preview = raw.extract_thumb()
        if isinstance(preview.data, bytes):  # a JPEG; LibRaw writes the orientation into one that has none
            return decode_picture(preview.data, settings.max_pixels, at_least).image
        image = rgb(Image.fromarray(preview.data))
    except (rawpy.LibRawError, rawpy.NotSupportedError, MediaError):
        return None
    turn = _TURNS.get(raw.sizes.flip)
    return image.transpose(turn) if turn is not None else image


def _developed(raw: rawpy.RawPy, preview: Image.Image | None) -> Image.Image:
    """The picture from the sensor's values, at half size; the preview when they cannot be developed."""
    try:
        return Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
    except (rawpy.LibRawError, rawpy.NotSupportedError):
        if preview is None:
            raise
        return preview


def _another_kind(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """A picture of another kind that only has a raw file's name."""
    refusal = MediaError("decode", "not a raw file that LibRaw knows", "convert it to DNG or JPEG")
    if read_file(path, settings.max_bytes)[:2] in (b"II", b"MM"):  # a cut raw file: Pillow would show its stamp
        raise refusal
    try:
        return read_picture(path, settings, at_least)
    except MediaError:
        raise refusal from None


def _taken_at(raw: rawpy.RawPy) -> float | None:
    taken = raw.other.timestamp  # by the camera's clock, without a zone
    known = taken is not None and taken.year > 1970
    return taken.replace(tzinfo=UTC).timestamp() if known else None


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
