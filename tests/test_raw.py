"""Raw files of cameras: their preview, upright, or developed when there is none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media import Media, modality_of, read_media
from engine.types import Modality
from tests.media_files import encoded, raw_file

LIMITS = MediaSettings()
ENDINGS = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw")


def read(path: Path, data: bytes, limits: MediaSettings = LIMITS) -> Media:
    path.write_bytes(data)
    return read_media(path, limits, 100)


def preview(size: tuple[int, int] = (600, 400)) -> bytes:
    """Blue, with a red left half."""
    image = Image.new("RGB", size, (30, 30, 200))
    image.paste((200, 30, 30), (0, 0, size[0] // 2, size[1]))
    return encoded(image, "JPEG")


def is_red(image: Image.Image, x: float, y: float) -> bool:
    red, _, blue = np.asarray(image)[int(y * image.height), int(x * image.width)]
    return bool(red > blue)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_preview_is_the_picture_and_the_sensor_has_the_size(tmp_path: Path, ending: str) -> None:
    assert modality_of(f"a{ending.upper()}") is Modality.IMAGE
    (frame,) = read(tmp_path / f"a{ending}", raw_file((640, 480), preview())).frames
    assert (frame.width, frame.height) == (640, 480) and min(frame.image.size) >= 100
    assert frame.image.mode == "RGB" and is_red(frame.image, 0.2, 0.5) and not is_red(frame.image, 0.8, 0.5)


@pytest.mark.parametrize(("orientation", "red"), [(3, (0.8, 0.5)), (6, (0.5, 0.2)), (8, (0.5, 0.8))])
def test_a_raw_file_is_upright(tmp_path: Path, orientation: int, red: tuple[float, float]) -> None:
    for number, image in enumerate((preview(), None)):
        (frame,) = read(tmp_path / f"{number}.dng", raw_file((640, 480), image, orientation)).frames
        assert (frame.width, frame.height) == ((640, 480) if orientation == 3 else (480, 640))
        assert (frame.image.width > frame.image.height) == (orientation == 3)
        if image:
            assert is_red(frame.image, *red) and not is_red(frame.image, 1 - red[0] + 0.01, 1 - red[1])


def test_without_a_useful_preview_it_is_developed_at_half_size(tmp_path: Path) -> None:
    for image in (None, preview((60, 40)), preview()[:1200]):
        (frame,) = read(tmp_path / "a.dng", raw_file((640, 480), image)).frames
        assert frame.image.size == (320, 240) and (frame.width, frame.height) == (640, 480)


def test_the_date_is_by_the_cameras_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        assert read(tmp_path / "a.dng", raw_file()).facts.taken_at == 1620131696.0


def test_pixels_and_bytes_are_limited(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="640 x 480 is .* over the limit"):
        read(tmp_path / "a.dng", raw_file((640, 480)), MediaSettings(max_pixels=640 * 480 - 1))
    with pytest.raises(MediaError, match="bytes, over the limit"):
        read(tmp_path / "a.dng", raw_file((640, 480)), MediaSettings(max_bytes=1000))


@pytest.mark.parametrize(
    "data",
    [
        b"words " * 300,
        raw_file((640, 480))[:3000],
        raw_file((640, 480), preview())[:9000],
        b"II*\0\xff\xff\xff\xff",
        b"FUJIFILMCCD-RAW ",
    ],
    ids=["words", "cut", "cut preview", "no folder", "head"],
)
@pytest.mark.parametrize("ending", [".dng", ".cr2", ".raf"])
def test_what_is_no_raw_file_is_refused(tmp_path: Path, data: bytes, ending: str) -> None:
    with pytest.raises(MediaError) as error:
        read(tmp_path / f"a{ending}", data)
    assert "LibRaw" in error.value.reason or error.value.reason.startswith("damaged or incomplete: ")


def test_another_kind_of_picture_with_a_raw_name_is_read(tmp_path: Path) -> None:
    (frame,) = read(tmp_path / "a.cr2", preview()).frames
    assert (frame.width, frame.height) == (600, 400)
