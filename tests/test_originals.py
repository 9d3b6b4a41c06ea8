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
from tests.media_files import encoded, pdf, svg
from tests.web_library import write_film
from webui import create_app
from webui.chunks import bare_gif, bare_png, bare_webp
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
def test_other_kinds_are_kept_back(tmp_path: Path, ending: str) -> None:
    told, plain = tmp_path / f"told.{ending}", tmp_path / f"plain.{ending}"
    _picture().save(told, FORMATS[ending], exif=_exif())
    assert is_kept_back(told, 10**6)
    with pytest.raises(KeptBack, match="show_places"):
        placeless(told, 10**6)
    _picture().save(plain, FORMATS[ending])
    assert is_kept_back(plain, 10**6), "it is not known to be clean"


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


@given(st.binary(max_size=300), st.integers(0, 12_000), st.sampled_from(["PNG", "WEBP", "GIF"]))
def test_damaged_chunks_are_refused_or_tell_nothing(junk: bytes, cut: int, kind: str) -> None:
    whole = encoded(_picture(), kind, **({"comment": SECRET} if kind == "GIF" else {"exif": _exif()}))
    bare = {"PNG": bare_png, "WEBP": bare_webp, "GIF": bare_gif}[kind]
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


def _film(path: Path, codec: str = "mpeg4", **options: Any) -> bytes:
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_image(_picture())  # type: ignore[no-untyped-call]
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    return path.read_bytes()


def test_films_are_kept_back_when_their_bytes_tell(tmp_path: Path) -> None:
    film = _film(tmp_path / "plain.mp4")
    assert placeless(tmp_path / "plain.mp4", 10**6) is None
    for number, mark in enumerate((b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>", b"adobe:ns:meta", b"Exif\0\0")):
        told = tmp_path / f"{number}.mp4"
        for before in (8, 2**20 - len(film) - 13, 2**20):  # within a piece, across two, in the second
            box = b"free" + bytes(before) + mark
            told.write_bytes(film + (4 + len(box)).to_bytes(4, "big") + box)
            assert is_kept_back(told, 10**6)


def test_films_with_more_than_pictures_and_sound_are_kept_back(tmp_path: Path) -> None:
    told = tmp_path / "drone.mkv"
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nGPS(38.7, -9.1)\n")
    _film(tmp_path / "plain.mkv")
    with av.open(str(tmp_path / "plain.mkv")) as film, av.open(str(words)) as said, av.open(str(told), "w") as out:
        made = [out.add_stream_from_template(source.streams[0]) for source in (film, said)]
        for source, stream in zip((film, said), made, strict=True):
            for packet in source.demux(source.streams[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    assert not is_kept_back(tmp_path / "plain.mkv", 10**6) and is_kept_back(told, 10**6)


def test_drawings_and_pages_are_kept_back_and_texts_given(tmp_path: Path) -> None:
    for name, data in (("a.svg", svg("")), ("b.pdf", pdf(["words"])), ("c.txt", pdf(["words"]) + b"\0")):
        (tmp_path / name).write_bytes(data)
        assert is_kept_back(tmp_path / name, 10**6)
    for data in ("Grüße".encode(), "Grüße".encode("utf-16"), "Grüße".encode("cp1252")):
        (tmp_path / "d.md").write_bytes(data)
        assert placeless(tmp_path / "d.md", 10**6) is None


def test_a_gif_loses_its_comments_and_not_a_bit(tmp_path: Path) -> None:
    pictures = [_picture().rotate(90 * n) for n in range(3)]
    xmp = b"\x21\xff\x0bXMP DataXMP" + bytes([len(SECRET)]) + SECRET + b"\0"
    for more in ([], pictures[1:]):
        whole = encoded(pictures[0], "GIF", save_all=True, append_images=more, comment=SECRET, loop=0, duration=70)
        told = whole[:-1] + xmp + b"\x3b" + SECRET
        (tmp_path / "a.gif").write_bytes(told)
        after = placeless(tmp_path / "a.gif", 10**6)
        assert after is not None and told.count(SECRET) >= 3 and SECRET not in after
        with Image.open(io.BytesIO(told)) as old, Image.open(io.BytesIO(after)) as new:
            assert (new.n_frames, new.info.get("loop")) == (old.n_frames, old.info.get("loop"))  # type: ignore[attr-defined]
            for number in range(len(more) + 1):
                old.seek(number)
                new.seek(number)
                assert new.info.get("duration") == old.info.get("duration")
                np.testing.assert_array_equal(np.asarray(new.convert("RGBA")), np.asarray(old.convert("RGBA")))


def test_what_a_file_is_its_bytes_say(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.txt"):
        (tmp_path / name).write_bytes(encoded(_picture(), "TIFF", exif=_exif()))
        assert is_kept_back(tmp_path / name, 10**6)
        (tmp_path / name).write_bytes(_jpeg(exif=_exif()))
        after = placeless(tmp_path / name, 10**6)
        assert after is not None and SECRET not in after
    (tmp_path / "a.mp4").write_bytes(encoded(_picture(), "PNG", exif=_exif()))
    assert is_kept_back(tmp_path / "a.mp4", 10**6)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_cover_that_tells_keeps_its_sound_back(tmp_path: Path, kind: str) -> None:
    for told, kept in (({"exif": _exif()}, True), ({}, False)):
        cover = encoded(_picture(), kind, **told)
        picture = b"\0image/" + kind.lower().encode() + b"\0\x03\0" + cover
        tag = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
        size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
        file = tmp_path / f"{kept}.mp3"
        file.write_bytes(b"ID3\x03\0\0" + size + tag + _sound(tmp_path / "plain.mp3"))
        assert is_kept_back(file, 10**6) is kept


def _sound(path: Path) -> bytes:
    """An MP3 without a tag."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mp3", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1152), np.float32), format="fltp", layout="stereo")
        frame.rate = 44100
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    data = path.read_bytes()
    return data[data.index(b"\xff\xfb") :]


@pytest.mark.parametrize(("name", "given"), [("a.avif", False), ("a.png", True), ("a.jpg", True), ("tiff.png", False)])
def test_the_viewer_says_what_is_kept_back(changed: Config, name: str, given: bool) -> None:
    token = "a-token-of-the-tests"
    app = create_app(replace(changed, serve=replace(changed.serve, host="0.0.0.0", token=token)))
    catalog, headers = app.extensions["rebus"].catalog, {"Authorization": f"Bearer {token}"}
    with catalog.session() as session:
        item = session.get_one(Item, 1)
        item.path = name
        kind = {"format": "TIFF"} if name == "tiff.png" else {}
        _picture().save(Path(session.get_one(Root, item.root_id).path) / name, exif=_exif(), **kind)
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
