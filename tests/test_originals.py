"""Originals beyond this machine: places, serial numbers and makers' notes are gone, and the picture is the same."""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.web_library import write_film
from webui.originals import KeptBack, placeless, without_metadata

SECRET = b"SERIAL-0123456789"
FORMATS = {"png": "PNG", "webp": "WEBP", "avif": "AVIF", "tif": "TIFF"}


def _exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0xA431] = SECRET.decode()
    exif.get_ifd(0x8825)[2] = (38.0, 42.0, 11.0)
    return exif


def _picture(**changes: Any) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return Image.fromarray(noise, **changes)


def _jpeg(**options: Any) -> bytes:
    out = io.BytesIO()
    _picture().save(out, "JPEG", **options)
    return out.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_loses_its_metadata_and_not_a_bit(tmp_path: Path, orientation: int, progressive: bool) -> None:
    xmp = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"
    before = _jpeg(
        exif=_exif(orientation), xmp=xmp, comment=SECRET, icc_profile=b"the colours", progressive=progressive
    )
    file = tmp_path / "a.jpg"
    file.write_bytes(before + b"and a film " + SECRET)
    after = placeless(file, 10**6)
    assert after is not None and SECRET in before and SECRET not in after
    with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
        assert new.info["icc_profile"] == b"the colours" and new.size == old.size
        assert dict(new.getexif()) == ({0x0112: orientation} if orientation > 1 else {})
        np.testing.assert_array_equal(
            np.asarray(ImageOps.exif_transpose(new)), np.asarray(ImageOps.exif_transpose(old))
        )


def test_restarts_and_subsampling_stay(tmp_path: Path) -> None:
    for options in ({"restart_marker_blocks": 2}, {"subsampling": 0}, {"quality": 100}, {"optimize": True}):
        before = _jpeg(exif=_exif(), **options)
        after = without_metadata(before, 1)
        with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
            np.testing.assert_array_equal(np.asarray(new), np.asarray(old))


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_damaged_ones_are_kept_back_or_tell_nothing(junk: bytes, cut: int) -> None:
    whole = _jpeg(exif=_exif())
    for data in (junk, b"\xff\xd8" + junk, whole[:cut], whole[:cut] + junk):
        try:
            assert SECRET not in without_metadata(data, 1)
        except KeptBack:
            pass


@pytest.mark.parametrize("ending", FORMATS)
def test_other_kinds_are_kept_back_when_they_tell(tmp_path: Path, ending: str) -> None:
    told, plain = tmp_path / f"told.{ending}", tmp_path / f"plain.{ending}"
    _picture().save(told, FORMATS[ending], exif=_exif())
    with pytest.raises(KeptBack, match="show_places"):
        placeless(told, 10**6)
    if ending != "tif":  # whose picture itself is described by the same tags
        _picture().save(plain, FORMATS[ending])
        assert placeless(plain, 10**6) is None


def test_raw_files_and_what_cannot_be_read_are_kept_back(tmp_path: Path) -> None:
    for name in ("a.cr2", "b.heic", "c.png", "d.mp4"):
        (tmp_path / name).write_bytes(b"no such file")
        with pytest.raises(KeptBack):
            placeless(tmp_path / name, 10**6)


def test_films_are_kept_back_when_they_tell(tmp_path: Path) -> None:
    plain, told = tmp_path / "plain.webm", tmp_path / "told.mp4"
    write_film(plain, seconds=2)
    assert placeless(plain, 10**6) is None
    with av.open(str(told), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["location"] = "+38.7-009.1/"
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height = 64, 48
        for packet in (*stream.encode(av.VideoFrame.from_image(_picture())), *stream.encode()):  # type: ignore[no-untyped-call]
            container.mux(packet)
    with pytest.raises(KeptBack):
        placeless(told, 10**6)


def test_drawings_and_texts_are_given_as_they_are(tmp_path: Path) -> None:
    for name in ("a.svg", "b.pdf", "c.txt"):
        assert placeless(tmp_path / name, 10**6) is None
