"""Originals beyond this machine: places, serial numbers and makers' notes are gone, and the picture is the same."""

import io
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from engine.catalog import Item, Root
from engine.config import Config
from tests.web_library import write_film
from webui import create_app
from webui.chunks import bare_png, bare_webp
from webui.originals import KeptBack, is_kept_back, placeless, without_metadata

SECRET = b"SERIAL-0123456789"
FORMATS = {"avif": "AVIF", "tif": "TIFF"}


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
    assert is_kept_back(told, 10**6)
    with pytest.raises(KeptBack, match="show_places"):
        placeless(told, 10**6)
    if ending != "tif":  # whose picture itself is described by the same tags
        _picture().save(plain, FORMATS[ending])
        assert placeless(plain, 10**6) is None and not is_kept_back(plain, 10**6)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("orientation", [1, 6])
def test_png_and_webp_lose_their_metadata_and_not_a_bit(
    tmp_path: Path, kind: str, frames: int, orientation: int
) -> None:
    told: dict[str, Any] = {"exif": _exif(orientation), "icc_profile": b"the colours"}
    if kind == "PNG":
        told["pnginfo"] = PngInfo()
        told["pnginfo"].add_itxt("XML:com.adobe.xmp", SECRET.decode())
        told["pnginfo"].add_text("Location", SECRET.decode(), zip=False)
    else:
        told |= {"xmp": SECRET, "lossless": True}
    pictures = [_picture().rotate(90 * n) for n in range(frames)]
    out = io.BytesIO()
    pictures[0].save(out, kind, save_all=True, append_images=pictures[1:], **told)
    file = tmp_path / "a.picture"
    file.write_bytes(out.getvalue() + SECRET)
    after = placeless(file.rename(file.with_suffix(f".{kind.lower()}")), 10**6)
    assert after is not None and SECRET in out.getvalue() and SECRET not in after
    with Image.open(io.BytesIO(out.getvalue())) as old, Image.open(io.BytesIO(after)) as new:
        assert new.info["icc_profile"] == b"the colours" and getattr(new, "n_frames", 1) == frames
        assert dict(new.getexif()) == ({0x0112: 6} if orientation == 6 else {})
        for number in range(frames):
            old.seek(number)
            new.seek(number)
            np.testing.assert_array_equal(np.asarray(new), np.asarray(old))


@given(st.binary(max_size=300), st.integers(0, 12_000), st.sampled_from(["PNG", "WEBP"]))
def test_damaged_chunks_are_refused_or_tell_nothing(junk: bytes, cut: int, kind: str) -> None:
    out = io.BytesIO()
    _picture().save(out, kind, exif=_exif())
    whole, bare = out.getvalue(), bare_png if kind == "PNG" else bare_webp
    for data in (junk, whole[:12] + junk, whole[:cut], whole[:cut] + junk):
        with suppress(ValueError):
            assert SECRET not in bare(data)


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


@pytest.mark.parametrize(("name", "given"), [("a.avif", False), ("a.png", True), ("a.jpg", True)])
def test_the_viewer_says_what_is_kept_back(changed: Config, name: str, given: bool) -> None:
    token = "a-token-of-the-tests"
    app = create_app(replace(changed, serve=replace(changed.serve, host="0.0.0.0", token=token)))
    catalog, headers = app.extensions["rebus"].catalog, {"Authorization": f"Bearer {token}"}
    with catalog.session() as session:
        item = session.get_one(Item, 1)
        item.path = name
        _picture().save(Path(session.get_one(Root, item.root_id).path) / name, exif=_exif())
    html = app.test_client().get("/items/1", headers=headers).text
    original = app.test_client().get("/media/1", headers=headers)
    assert original.status_code == (200 if given else 403) and SECRET not in original.data
    original.close()
    assert ("kept back" in html) is not given and ("/media/1" in html) is given
    assert re.search(r'<img src="/(media|large|thumbs)/1', html)
    at_home = create_app(changed)
    assert "/media/1" in at_home.test_client().get("/items/1").text
    for one in (app, at_home):
        one.extensions["rebus"].catalog.engine.dispose()
