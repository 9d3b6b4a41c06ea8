"""Hostile and odd files, written into a folder, each with what must come of it: a reason, or that it is indexed."""

import gzip
import os
import random
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from tests.media_files import animated, encoded, film, pdf, pdf_of, png, raw_file, shades, sound, svg

Expected = dict[str, str | None]
DAMAGED, UNKNOWN, LARGE, STOPPED = "damaged or incomplete", "known format", "over the limit of", "took longer than"


def write_hostile(folder: Path) -> Expected:
    """Write the files. {path relative to the folder: a part of the reason why it cannot be used, or None when it can}.

    They are meant for limits of 50 megapixels, 20 MB, and some seconds. Links, devices and the like, which a walk
    passes over or a reader refuses, are in it too; a name that the file system cannot hold is left out.
    """
    expected: Expected = {}
    for name, data, reason in (*_bombs(), *_cut(), *_lies(), *_odd_pictures(), *_documents(), *_drawings()):
        (folder / name).write_bytes(data)
        expected[name] = reason
    return expected | _streams(folder) | _odd_names(folder) | _deep(folder) | _no_files(folder)


def _picture(size: tuple[int, int] = (120, 80)) -> Image.Image:
    rng = random.Random(0)
    return Image.frombytes("RGB", size, rng.randbytes(size[0] * size[1] * 3))


def jpeg_with_size(width: int, height: int) -> bytes:
    """A JPEG whose header says what it likes."""
    data = bytearray(encoded(_picture(), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif(width: int, height: int, frames: int, frame: tuple[int, int] = (1, 1)) -> bytes:
    """A GIF of frames of 16 bytes, however large they claim to be."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return head + (b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02\x44\x01\x00") * frames


def tiff(width: int, height: int) -> bytes:
    """A TIFF whose only strip is far shorter than it says."""
    rows = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 9)]
    folder = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows)
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + folder + bytes(20)


def webp(width: int, height: int) -> bytes:
    """A WebP whose canvas is larger than what is in it."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    inner = encoded(_picture(), "WEBP")[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _bombs() -> Iterator[tuple[str, bytes, str | None]]:
    yield "bomb.png", png(40_000, 40_000), LARGE
    yield "bomb-flat.png", png(20_000, 20_000, bytes(20_000 * 900)), LARGE
    yield "bomb-line.png", png(2**31 - 1, 1), LARGE
    yield "bomb.jpg", jpeg_with_size(65_500, 65_500), LARGE
    yield "bomb.gif", gif(65_535, 65_535, 1), LARGE
    yield "bomb-frame.gif", gif(8, 8, 1, (65_535, 65_535)), LARGE
    yield "bomb-later-frame.gif", gif(8, 8, 3) + gif(8, 8, 1, (65_535, 65_535))[19:], None
    yield "endless.gif", gif(8, 8, 500_000), None
    yield "bomb.tif", tiff(60_000, 60_000), LARGE
    yield "bomb.webp", webp(16_000, 16_000), DAMAGED
    yield "bomb.bmp", b"BM" + struct.pack("<IIIIiiHHIIIIII", 99, 0, 54, 40, 50_000, 50_000, 1, 24, *[0] * 6), LARGE
    yield "zlib.png", png(100, 100, bytes(30_000_000)), None
    text = b"k\0" + gzip.zlib.compress(bytes(50_000_000))  # type: ignore[attr-defined]
    yield "words.png", png(2, 2, bytes(14), (b"zTXt", b"key\0" + text[1:])), DAMAGED
    yield "large.jpg", encoded(_picture(), "JPEG") + bytes(21_000_000), LARGE


def _cut() -> Iterator[tuple[str, bytes, str | None]]:
    for kind, ending in {
        "JPEG": "jpg",
        "PNG": "png",
        "WEBP": "webp",
        "GIF": "gif",
        "TIFF": "tif",
        "BMP": "bmp",
    }.items():
        data = encoded(_picture(), kind)
        yield f"half.{ending}", data[: len(data) // 2], DAMAGED
        yield f"head.{ending}", data[:20], ""
    for kind, ending in {"AVIF": "avif", "HEIF": "heic"}.items():
        data = encoded(_picture(), kind)
        yield f"half.{ending}", data[: len(data) // 2], ""
    yield "half.apng", _half(animated("PNG", shades(9), (300, 200))), None
    yield "half.dng", _half(raw_file((640, 480))), ""
    yield "half.pdf", _half(pdf(["a page"] * 20)), ""
    yield "half.svg", _half(svg('<rect width="9" height="9"/>' * 9)), DAMAGED


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _lies() -> Iterator[tuple[str, bytes, str | None]]:
    yield "png.jpg", encoded(_picture(), "PNG"), None
    yield "heic.png", encoded(_picture(), "HEIF"), None
    yield "words.jpg", b"these are words\n" * 99, UNKNOWN
    yield "page.gif", b"<html><script>alert(1)</script></html>", UNKNOWN
    yield "program.png", b"\x7fELF" + bytes(5000), UNKNOWN
    yield "archive.webp", b"PK\x03\x04" + bytes(5000), UNKNOWN
    yield "postscript.tif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\nshowpage\n", UNKNOWN
    yield "picture.txt", encoded(_picture(), "JPEG"), "not text"
    yield "picture.pdf", encoded(_picture(), "PNG"), DAMAGED
    yield "picture.mp4", encoded(_picture(), "JPEG"), UNKNOWN
    yield "picture.cr2", encoded(_picture(), "JPEG"), None
    yield "words.nef", b"words " * 999, "LibRaw"
    yield "nothing.jpg", b"", "empty"
    yield "nothing.txt", b"", "empty"
    yield "nothing.mp4", b"", "empty"
    yield "zeros.jpg", bytes(9999), UNKNOWN
    yield "zeros.pdf", bytes(9999), DAMAGED
    yield "zeros.svg", bytes(9999), DAMAGED
    yield "zeros.mp3", bytes(9999), UNKNOWN
    yield "one-byte.heic", b"x", UNKNOWN


def _odd_pictures() -> Iterator[tuple[str, bytes, str | None]]:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    exif[0x0112] = 99
    yield "long-exif.jpg", encoded(_picture(), "JPEG", exif=exif), None
    loop = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0"
    yield "circular-exif.jpg", encoded(_picture(), "JPEG", exif=loop), None
    yield "many-exif.jpg", encoded(_picture(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\1" * 40_000), None
    yield "rubbish-profile.png", encoded(_picture(), "PNG", icc_profile=b"\xff" * 50_000), None
    yield (
        "many-comments.jpg",
        encoded(_picture(), "JPEG")[:2] + b"\xff\xfe\0\x02" * 200_000 + encoded(_picture(), "JPEG")[2:],
        None,
    )
    yield "line.png", encoded(Image.new("RGB", (30_000, 1)), "PNG"), None
    yield "column.png", encoded(Image.new("RGB", (1, 30_000)), "PNG"), None
    yield "dot.gif", gif(1, 1, 1), None
    data = bytearray(animated("TIFF", shades(2)))
    first = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, first + 2 + 12 * struct.unpack_from("<H", data, first)[0], first)
    yield "circular.tif", bytes(data), None
    yield "two-in-one.jpg", encoded(_picture(), "JPEG") + encoded(_picture(), "PNG"), None


def _documents() -> Iterator[tuple[str, bytes, str | None]]:
    yield "nul.txt", b"words\0words" * 99, "not text"
    yield "spaces.txt", b" \n" * 9999, "no words"
    yield "one-line.txt", b"x" * 5_000_000, None
    yield "brackets.md", b"a" + b"[" * 300_000 + b"<!--" * 300_000 + b"*_" * 300_000, None
    yield "latin.txt", "Größe und Übermaß".encode("latin-1"), None
    tree = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Count 99999999 /Kids [2 0 R 2 0 R 2 0 R] >>"]
    yield "endless-tree.pdf", pdf_of(tree), DAMAGED
    yield "large-page.pdf", pdf(["large"], size=(900_000, 900_000)), None
    yield "many-pages.pdf", pdf(["page"] * 3000), None
    key = "00" * 32
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{key}> /U <{key}> >> /ID [<00> <00>]"
    yield "locked.pdf", pdf(["secret"], extra=lock), "password"
    form = "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /A 4 0 R >> >> /Length 18 >>"
    calls = [
        *("<< /Type /Catalog /Pages 2 0 R /OpenAction << /S /JavaScript /JS (while\\(1\\);) >> >>",),
        "<< /Type /Pages /Count 1 /Kids [3 0 R] /MediaBox [0 0 99 99] >>",
        "<< /Type /Page /Parent 2 0 R /Resources << /XObject << /A 4 0 R >> >> /Contents 5 0 R >>",
        f"{form}\nstream\n/A Do /A Do /A Do \nendstream",
        "<< /Length 6 >>\nstream\n/A Do \nendstream",
    ]
    yield "calls-itself.pdf", pdf_of(calls), ""


def _drawings() -> Iterator[tuple[str, bytes, str | None]]:
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    yield "laughs.svg", f'<!DOCTYPE s [<!ENTITY a0 "ha">{laughs}]>'.encode() + svg("<text>&a9;</text>"), "entities"
    yield "outer.svg", b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + svg("&x;"), "entities"
    uses = "".join(f'<g id="a{n + 1}">' + f'<use href="#a{n}"/>' * 10 + "</g>" for n in range(9))
    yield "uses.svg", svg(f'<g id="a0"/>{uses}'), "elements"
    yield "deep.svg", svg("<g>" * 50_000 + "</g>" * 50_000), "deep"
    yield "reaches-out.svg", svg('<image href="/etc/hostname" width="9" height="9"/><rect width="9" height="9"/>'), None
    yield "vast.svg", svg('<rect width="9" height="9"/>', 'width="1e12" height="1e12"'), None
    size = 'width="1000000" height="1000000" patternUnits="userSpaceOnUse"'
    pattern = f'<pattern id="p" {size}><rect width="1" height="1" fill="red"/></pattern>'
    yield "pattern.svg", svg(f'{pattern}<rect fill="url(#p)" width="100" height="50"/>'), "crashed"
    tower = '<g opacity="0.9">' * 90 + '<rect width="100" height="50"/>' + "</g>" * 90
    yield "slow.svg", svg(tower * 2000), STOPPED
    yield (
        "filter.svg",
        svg('<filter id="f"><feGaussianBlur stdDeviation="1e9"/></filter><rect filter="url(#f)"/>'),
        None,
    )


def _streams(folder: Path) -> Expected:
    """Films and sounds, and what only has their names."""
    whole = film(folder / "good.mp4", 3).read_bytes()
    (folder / "half.mp4").write_bytes(_half(whole))
    (folder / "half.mkv").write_bytes(_half(film(folder / "good.mkv", 6).read_bytes()))
    (folder / "half.flac").write_bytes(_half(sound(folder / "good.flac", "flac").read_bytes()))
    (folder / "noise.mp4").write_bytes(whole[:40] + random.Random(1).randbytes(50_000))
    (folder / "list.mp4").write_bytes(b"#EXTM3U\n#EXTINF:9,\n/etc/hostname\n#EXT-X-ENDLIST\n")
    (folder / "list.mkv").write_bytes(f"ffconcat version 1.0\nfile '{folder / 'good.mp4'}'\n".encode())
    (folder / "id3.mp3").write_bytes(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(9999))
    duration = bytearray(whole)
    place = duration.index(b"mvhd") + 4
    struct.pack_into(">II", duration, place + 12, 1, 2**32 - 2)  # scale and duration: 136 years
    (folder / "long.mp4").write_bytes(duration)
    return {
        "good.mp4": None, "good.mkv": None, "good.flac": None, "half.mkv": None, "half.flac": None, "long.mp4": None,
        "half.mp4": DAMAGED, "noise.mp4": DAMAGED, "list.mp4": UNKNOWN, "list.mkv": UNKNOWN, "id3.mp3": DAMAGED,
    }  # fmt: skip


def _odd_names(folder: Path) -> Expected:
    expected: Expected = {}
    for name in (
        b"line\nbreak.jpg", b"tab\t.jpg", "\u202egpj.exe.jpg".encode(), b"\xff\xfe\x80.jpg", b"x" * 251 + b".jpg",
        b"-rf.jpg", b"a b'c\"d;$(e).jpg", "e\u0301.jpg".encode(), "\U0001f6a2.JPG".encode(), b"%2e%2e%2f.jpg",
        b"<img src=x onerror=alert(1)>.jpg", b"*.jpg", b"C:\\a.jpg", b"nul.jpg",
    ):  # fmt: skip
        path = folder / os.fsdecode(name)
        with suppress(OSError):  # the file system cannot hold it
            path.write_bytes(encoded(_picture(), "JPEG"))
            expected[path.name] = None
    return expected


def _deep(folder: Path) -> Expected:
    """A picture at the bottom of many folders, and links in circles, which are never followed."""
    place = folder
    for _ in range(150):
        place /= "deep"
    place.mkdir(parents=True)
    (place / "bottom.jpg").write_bytes(encoded(_picture(), "JPEG"))
    (folder / "circle").symlink_to(folder)
    (place / "up").symlink_to(folder)
    return {str((place / "bottom.jpg").relative_to(folder)): None}


def _no_files(folder: Path) -> Expected:
    """What has a picture's name and is no regular file: never opened, or refused."""
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to("/etc/hostname")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.jpg")
    expected: Expected = dict.fromkeys(("link.jpg", "itself.jpg", "dangling.jpg"), "it is a link")
    expected |= {"folder.jpg": "not a regular file", "pipe.jpg": "not a regular file"}
    here = os.getcwd()
    os.chdir(folder)  # a socket's address is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.jpg")
        expected["socket.jpg"] = "not a regular file"
    finally:
        os.chdir(here)
    with suppress(OSError):  # for root alone
        os.mknod(folder / "zeros.png", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        expected["zeros.png"] = "not a regular file"
    return expected
