"""Animations and pages: evenly spaced frames within the limits, however many a file claims to have."""

import struct
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media import Media, read_media
from engine.media.limits import evenly
from tests.media_files import animated, encoded, shades

LIMITS = MediaSettings(max_frames=4, max_pages=5)
KINDS = {"GIF": ".gif", "WEBP": ".webp", "PNG": ".png", "AVIF": ".avif"}


def read(path: Path, data: bytes, limits: MediaSettings = LIMITS, at_least: int = 384) -> Media:
    path.write_bytes(data)
    return read_media(path, limits, at_least)


def reds(media: Media) -> list[int]:
    return [round(float(np.asarray(frame.image)[..., 0].mean())) for frame in media.frames]


@pytest.mark.parametrize("kind", KINDS)
def test_an_animation_has_evenly_spaced_frames_the_first_one_first(tmp_path: Path, kind: str) -> None:
    colors = shades(21)
    media = read(tmp_path / f"a{KINDS[kind]}", animated(kind, colors))
    positions = [frame.position for frame in media.frames]
    assert media.facts.pages == 21 and len(positions) == 4 and positions[0] == 0
    gaps = np.diff([*positions, 21])
    assert gaps.max() <= 2 * gaps.min() + 1
    assert reds(media) == pytest.approx([colors[position][0] for position in positions], abs=6)
    assert {(frame.width, frame.height) for frame in media.frames} == {(60, 40)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_animation_keeps_every_frame(tmp_path: Path, kind: str) -> None:
    media = read(tmp_path / f"a{KINDS[kind]}", animated(kind, shades(3)))
    assert [frame.position for frame in media.frames] == [0, 1, 2] and media.facts.pages == 3


def test_a_picture_that_stands_still_has_one_frame_and_no_count(tmp_path: Path) -> None:
    for kind, ending in (*KINDS.items(), ("TIFF", ".tif"), ("JPEG", ".jpg"), ("HEIF", ".heic")):
        media = read(tmp_path / f"a{ending}", encoded(Image.new("RGB", (60, 40), "red"), kind))
        assert len(media.frames) == 1 and media.facts.pages is None


def test_one_frame_may_be_all_that_is_wanted(tmp_path: Path) -> None:
    media = read(tmp_path / "a.gif", animated("GIF", shades(9)), MediaSettings(max_frames=1))
    assert [frame.position for frame in media.frames] == [0] and media.facts.pages == 9


def test_the_pages_of_a_tiff_are_kept_from_the_first_on(tmp_path: Path) -> None:
    colors = shades(8)
    media = read(tmp_path / "a.tif", animated("TIFF", colors))
    assert [frame.position for frame in media.frames] == [0, 1, 2, 3, 4] and media.facts.pages == 8
    assert reds(media) == [color[0] for color in colors[:5]]


def test_a_smaller_copy_of_a_page_is_no_page(tmp_path: Path) -> None:
    page = Image.new("RGB", (60, 40), "red")
    copy = page.resize((30, 20))
    copy.encoderinfo = {"tiffinfo": {254: 1}}
    data = encoded(page, "TIFF", save_all=True, append_images=[copy, Image.new("RGB", (60, 40), "blue")])
    media = read(tmp_path / "a.tif", data)
    assert [(frame.position, frame.width) for frame in media.frames] == [(0, 60), (1, 60)] and media.facts.pages == 2


def test_frames_of_a_large_animation_are_reduced(tmp_path: Path) -> None:
    media = read(tmp_path / "a.webp", animated("WEBP", shades(3), (640, 400)), at_least=100)
    assert {(frame.image.size, frame.width, frame.height) for frame in media.frames} == {((160, 100), 640, 400)}


def test_a_page_over_the_limit_of_pixels_is_left_out(tmp_path: Path) -> None:
    pages = [Image.new("RGB", size, "red") for size in ((60, 40), (600, 400), (50, 30))]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    media = read(tmp_path / "a.tif", data, MediaSettings(max_pixels=5000))
    assert [frame.width for frame in media.frames] == [60, 50] and media.facts.pages == 3
    with pytest.raises(MediaError, match="over the limit"):
        read(tmp_path / "b.tif", data, MediaSettings(max_pixels=1000))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_a_cut_animation_keeps_the_frames_before_the_cut(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)) for _ in range(10)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    try:
        media = read(tmp_path / f"a{KINDS[kind]}", data[: len(data) // 2])
    except MediaError:
        assert kind == "WEBP"  # its decoder wants the whole file
    else:
        assert 1 < (media.facts.pages or 0) <= 7


def endless_gif(frames: int) -> bytes:
    """A GIF of tiny frames, a dozen bytes each."""
    head = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6)
    return head + (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00") * frames


def test_an_endless_gif_is_looked_at_only_so_far(tmp_path: Path) -> None:
    data, started = endless_gif(400_000), time.process_time()
    media = read(tmp_path / "a.gif", data)
    assert len(media.frames) == 4 and media.facts.pages == 2000
    assert time.process_time() - started < 20


def test_a_tiff_whose_pages_go_in_a_circle_ends(tmp_path: Path) -> None:
    data = bytearray(animated("TIFF", shades(2)))
    first = struct.unpack_from("<I", data, 4)[0]
    second = struct.unpack_from("<I", data, first + 2 + 12 * struct.unpack_from("<H", data, first)[0])[0]
    link = second + 2 + 12 * struct.unpack_from("<H", data, second)[0]
    struct.pack_into("<I", data, link, first)
    media = read(tmp_path / "a.tif", bytes(data), MediaSettings(max_pages=3))
    assert 2 <= len(media.frames) <= 3


def test_a_lying_ending_does_not_matter_among_pictures(tmp_path: Path) -> None:
    for kind in (*KINDS, "TIFF"):
        media = read(tmp_path / "a.jpg", animated(kind, shades(3)))
        assert len(media.frames) == 3
    heic = read(tmp_path / "b.jpg", encoded(Image.new("RGB", (64, 48), "red"), "HEIF"))
    assert reds(heic) == pytest.approx([255], abs=4)


@given(st.integers(1, 10_000), st.integers(1, 200))
def test_even_spacing(count: int, most: int) -> None:
    places = evenly(count, most)
    assert places[0] == 0 and len(places) == min(count, most) and places[-1] < count
    gaps = {after - before for before, after in zip(places, places[1:], strict=False)}
    assert not gaps or (min(gaps) > 0 and max(gaps) - min(gaps) <= 1)
