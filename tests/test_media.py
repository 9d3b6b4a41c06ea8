"""Pictures decoded from real files: every format, upright, within limits, and hostile files refused by their kind."""

import functools
import io
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from engine.config import MediaSettings
from engine.errors import InvalidInput, MediaError, NotFound, TooLarge
from engine.media import Frame, modality_of
from engine.media.files import file_inside, hash_bytes, hash_file, read_file, read_text
from engine.media.pictures import FORMATS, decode_upload, read_picture, thumbnail
from engine.types import Modality
from tests.media_files import encoded, png

LIMITS = MediaSettings()
SIZE = (60, 40)
RED, WHITE = (200, 30, 30), (255, 255, 255)


def quarters() -> Image.Image:
    """Four flat quarters of different colours: any turn or mirroring shows."""
    image = Image.new("RGB", SIZE)
    for number, color in enumerate(((200, 30, 30), (30, 200, 30), (30, 30, 200), (230, 230, 230))):
        left, top = number % 2 * 30, number // 2 * 20
        image.paste(color, (left, top, left + 30, top + 20))
    return image


def assert_looks_like(image: Image.Image, expected: Image.Image) -> None:
    assert (image.mode, image.size) == ("RGB", expected.size)
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(expected.convert("RGB"), np.int16))
    assert float(difference.mean()) < 4


def decoded(path: Path, limits: MediaSettings = LIMITS, at_least: int = 384) -> Frame:
    return read_picture(path, limits, at_least).frames[0]


def refusal(path: Path, limits: MediaSettings = LIMITS) -> MediaError:
    with pytest.raises(MediaError) as error:
        read_picture(path, limits, 384)
    assert error.value.reason and error.value.hint
    return error.value


# --- what decodes ---


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_decodes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"picture.{kind.lower()}"
    path.write_bytes(encoded(quarters(), kind))
    picture = decoded(path)
    assert_looks_like(picture.image, quarters())
    assert (picture.width, picture.height) == SIZE
    assert modality_of(path.name) is modality_of(path.name.upper()) is Modality.IMAGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    # What a camera stores is the upright picture with the orientation's turn undone.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quarters().transpose(undo[orientation]) if orientation in undo else quarters()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "picture"
    path.write_bytes(encoded(stored, kind, exif=exif))
    picture = decoded(path)
    assert_looks_like(picture.image, quarters())
    assert (picture.width, picture.height) == SIZE


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        path = tmp_path / kind
        path.write_bytes(encoded(Image.fromarray(ramp), kind))
        assert_looks_like(decoded(path).image, Image.fromarray((ramp >> 8).astype(np.uint8)))


def test_big_endian_sixteen_bit_tiff_becomes_eight(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
    path = tmp_path / "big.tif"
    path.write_bytes(encoded(Image.frombytes("I;16B", SIZE, ramp.astype(">u2").tobytes()), "TIFF"))
    assert_looks_like(decoded(path).image, Image.fromarray((ramp >> 8).astype(np.uint8)))


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("L", "JPEG"), ("1", "PNG"), ("P", "GIF"), ("CMYK", "TIFF"), ("LA", "PNG")]
)
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str, kind: str) -> None:
    image = quarters().convert(mode)
    path = tmp_path / "picture"
    path.write_bytes(encoded(image, kind))
    assert_looks_like(decoded(path).image, image.convert("RGB"))


def _clear_palette() -> bytes:
    image = Image.new("P", SIZE, 0)
    image.putpalette([*RED, 0, 0, 0])
    image.paste(1, (30, 0, 60, 40))
    return encoded(image, "PNG", transparency=1)


def _clear_rgba(kind: str) -> bytes:
    image = Image.new("RGBA", SIZE, (*RED, 255))
    image.paste((0, 0, 0, 0), (30, 0, 60, 40))
    return encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))


def _clear_color() -> bytes:
    image = Image.new("RGB", SIZE, RED)
    image.paste((0, 0, 0), (30, 0, 60, 40))
    return encoded(image, "PNG", transparency=(0, 0, 0))


CLEAR = {"palette": _clear_palette, "colour": _clear_color} | {
    kind: lambda kind=kind: _clear_rgba(kind) for kind in ("PNG", "WEBP", "TIFF", "GIF")
}


@pytest.mark.parametrize("make", CLEAR.values(), ids=CLEAR.keys())
def test_what_is_transparent_is_white(tmp_path: Path, make: Callable[[], bytes]) -> None:
    (tmp_path / "picture").write_bytes(make())
    expected = Image.new("RGB", SIZE, RED)
    expected.paste(WHITE, (30, 0, 60, 40))
    assert_looks_like(decoded(tmp_path / "picture").image, expected)


def test_a_large_jpeg_is_decoded_smaller_but_knows_its_size(tmp_path: Path) -> None:
    large = quarters().resize((2400, 1600))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(large, "JPEG", exif=exif))
    picture = decoded(tmp_path / "a.jpg", at_least=300)
    assert (picture.width, picture.height) == (1600, 2400)
    assert 300 <= picture.image.width < 1600
    assert_looks_like(picture.image, ImageOps.exif_transpose(large).rotate(-90, expand=True).resize(picture.image.size))


def test_odd_metadata_is_no_failure(tmp_path: Path) -> None:
    for number, exif in enumerate((b"Exif\0\0garbage, not a header", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0")):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(encoded(quarters(), "JPEG", exif=exif))
        assert_looks_like(decoded(path).image, quarters())


# --- limits ---


def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(40_000, 40_000))
    error = refusal(tmp_path / "bomb.png")
    assert error.stage == "decode"
    assert "40000 x 40000 is 1,600 megapixels, over the limit of 200" in error.reason
    assert "max_pixels" in error.hint


def test_the_limits_themselves_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(quarters(), "PNG"))
    size = path.stat().st_size
    assert decoded(path, MediaSettings(max_pixels=2400, max_bytes=size)).width == 60
    assert "over the limit" in refusal(path, MediaSettings(max_pixels=2399)).reason
    error = refusal(path, MediaSettings(max_bytes=size - 1))
    assert (error.stage, error.reason) == ("read", f"{size:,} bytes, over the limit of {size - 1:,}")


# --- what is refused ---


def _short(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


REFUSED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "text": (_short(b"not a picture at all\n" * 9), "decode", "not a picture in a known format"),
    "cut jpeg": (_short(encoded(quarters().resize((600, 400)), "JPEG")[:3000]), "decode", "damaged or incomplete"),
    "cut png": (_short(encoded(quarters(), "PNG")[:-30]), "decode", "damaged or incomplete"),
    "header of a jpeg": (_short(encoded(quarters(), "JPEG")[:20]), "decode", "damaged or incomplete: its header"),
    "header of a png": (_short(encoded(quarters(), "PNG")[:20]), "decode", "damaged or incomplete: "),
    "no pixels": (_short(png(100, 100)), "decode", "damaged or incomplete"),
    "another format": (_short(encoded(quarters(), "PPM")), "decode", "not a picture in a known format"),
    "empty": (_short(b""), "read", "empty"),
    "missing": (lambda path: None, "read", "it is gone"),
    "folder": (lambda path: path.mkdir(), "read", "not a regular file"),
    "pipe": (os.mkfifo, "read", "not a regular file"),
    "link": (lambda path: path.symlink_to(__file__), "read", "it is a link"),
    "link to nothing": (lambda path: path.symlink_to("nowhere"), "read", "it is a link"),
    "link to itself": (lambda path: path.symlink_to(path), "read", "it is a link"),
}


@pytest.mark.parametrize(("make", "stage", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_used_is_refused_by_its_kind(
    tmp_path: Path, make: Callable[[Path], object], stage: str, reason: str
) -> None:
    path = tmp_path / "picture.jpg"
    make(path)
    opened = len(os.listdir("/proc/self/fd"))
    error = refusal(path)
    assert error.stage == stage and reason in error.reason
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("a.jpg")
        assert refusal(tmp_path / "a.jpg").stage == "read"


def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    """In a process of its own: root may read anything, so there it becomes nobody first."""
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    code = (
        "import os, sys, pathlib\n"
        "from engine.media.files import read_file\n"
        "folder = os.open(sys.argv[1], os.O_RDONLY)\n"
        "os.fchdir(folder)\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: read_file(pathlib.Path('a.jpg'), 100)\n"
        "except Exception as error: print(type(error).__name__, error.stage, error.reason)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent.parent)
    assert done.stdout == "MediaError read no permission to read it\n", done.stderr


@functools.cache
def _whole(kind: str) -> bytes:
    return encoded(quarters(), kind)


@settings(max_examples=80, deadline=None)
@given(kind=st.sampled_from(FORMATS), seed=st.integers(0, 2**32), cut=st.booleans())
def test_damaged_bytes_decode_or_are_refused_and_nothing_else(kind: str, seed: int, cut: bool) -> None:
    rng, data = random.Random(seed), bytearray(_whole(kind))
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if cut:
        del data[rng.randrange(len(data)) :]
    try:
        image = decode_upload(bytes(data), 10**6, 10**6, 384)
    except InvalidInput as error:
        assert str(error).startswith("the picture cannot be used: ")
    else:
        assert image.mode == "RGB"


# --- uploads, text and hashes ---


def test_an_upload_is_decoded_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = quarters().transpose(Image.Transpose.ROTATE_90)
    assert_looks_like(decode_upload(encoded(stored, "JPEG", exif=exif), 10**6, 10**6, 384), quarters())


def test_an_upload_over_a_limit_is_too_large() -> None:
    data = encoded(quarters(), "PNG")
    with pytest.raises(TooLarge, match="send a smaller one"):
        decode_upload(data, len(data) - 1, 10**6, 384)
    with pytest.raises(TooLarge, match="over the limit"):
        decode_upload(data, 10**6, 2399, 384)


@pytest.mark.parametrize("data", [b"", b"words", encoded(quarters(), "JPEG")[:300]])
def test_an_upload_that_is_no_picture_is_invalid(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="the picture cannot be used") as error:
        decode_upload(data, 10**6, 10**6, 384)
    assert type(error.value) is InvalidInput


def test_text_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for data in ("船 boat".encode(), "船 boat".encode("utf-8-sig")):
        (tmp_path / "a.txt").write_bytes(data)
        assert read_text(tmp_path / "a.txt", 100) == "船 boat"


def test_text_in_another_encoding_is_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9 au lait")
    with pytest.raises(MediaError, match="at byte 3.*save it as UTF-8") as error:
        read_text(tmp_path / "a.txt", 100)
    assert error.value.stage == "caption"


def test_a_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    assert hash_file(tmp_path / "a", 10) == hash_file(tmp_path / "b", 10) == hash_bytes(b"same") != hash_bytes(b"Same")
    assert read_file(tmp_path / "a", 4) == b"same"


def test_a_thumbnail_fits_its_box_and_says_nothing_of_the_camera() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Secret Camera Company"
    original = Image.open(io.BytesIO(encoded(quarters().resize((600, 400)), "JPEG", exif=exif)))
    small = Image.open(io.BytesIO(thumbnail(original, 90)))
    assert (small.format, small.size, dict(small.getexif())) == ("JPEG", (90, 60), {})
    assert_looks_like(small, quarters().resize((90, 60)))
    assert original.size == (600, 400)


def test_a_thumbnail_is_never_enlarged() -> None:
    assert Image.open(io.BytesIO(thumbnail(quarters(), 384))).size == SIZE


# --- what may be sent ---


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A media folder with a picture, a secret beside it, and links from one to the other."""
    root = tmp_path / "media"
    (root / "trips").mkdir(parents=True)
    (root / "trips" / "a.jpg").write_bytes(b"x")
    (tmp_path / "media-secret").mkdir()
    (tmp_path / "media-secret" / "key").write_bytes(b"x")
    (root / "link.jpg").symlink_to(root / "trips" / "a.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "media-secret" / "key")
    (root / "linked").symlink_to(root / "trips")
    (root / "outside").symlink_to(tmp_path / "media-secret")
    (root / "circle").symlink_to(root / "circle")
    os.mkfifo(root / "pipe.jpg")
    return root


def test_a_file_inside_its_root_may_be_sent(root: Path) -> None:
    assert file_inside(root, root / "trips" / "a.jpg") == root / "trips" / "a.jpg"


def test_a_root_that_is_reached_through_a_link_is_fine(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    path = root.parent / "alias" / "trips" / "a.jpg"
    assert file_inside(root.parent / "alias", path) == path


@pytest.mark.parametrize(
    "path",
    [
        "../media-secret/key",
        "trips/../../media-secret/key",
        "trips/../trips/a.jpg",
        "/etc/passwd",
        "link.jpg",
        "out.jpg",
        "linked/a.jpg",
        "outside/key",
        "circle",
        "circle/a.jpg",
        "pipe.jpg",
        "trips",
        ".",
        "missing.jpg",
        "trips/a.jpg/b",
        "a\0b.jpg",
        "x" * 5000,
    ],
)
def test_nothing_else_may_be_sent(root: Path, path: str) -> None:
    with pytest.raises(NotFound, match="rebus index"):
        file_inside(root, root / path)


def test_a_file_whose_root_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        file_inside(tmp_path / "gone", tmp_path / "gone" / "a.jpg")
