"""Real media files, made by the tests: films, sounds, a camera's raw file, PDFs with words, drawings."""

import io
import struct
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

Color = tuple[int, int, int]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as a file's bytes."""
    if kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def animated(kind: str, colors: Sequence[Color], size: tuple[int, int] = (60, 40), **options: Any) -> bytes:
    """An animation, or the pages of a TIFF, each flat in one colour."""
    frames = [Image.new("RGB", size, color) for color in colors]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)


def shades(count: int) -> list[Color]:
    """Colours whose red says their number."""
    return [(number * 250 // max(1, count - 1), 40, 90) for number in range(count)]


def film(
    path: Path,
    seconds: float = 6,
    codec: str = "mpeg4",
    form: str | None = None,
    *,
    size: tuple[int, int] = (96, 64),
    rotation: int = 0,
    pixel: Fraction | None = None,
    gop: int = 5,
    rate: int = 10,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A film that grows from black to red, with a white square in its upper left corner."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", gop
        if rotation:
            stream.set_display_rotation(rotation)
        if pixel is not None:
            stream.codec_context.sample_aspect_ratio = pixel
        container.metadata.update(metadata or {})
        count = int(seconds * rate)
        for number in range(count):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            picture[:, :, 0] = number * 250 // count
            picture[: size[1] // 4, : size[0] // 4] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def sound(
    path: Path, codec: str, form: str | None = None, seconds: float = 2, metadata: dict[str, str] | None = None
) -> Path:
    """A tone."""
    rate = 48000
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        container.metadata.update(metadata or {})
        for start in range(0, int(seconds * rate), 1024):
            wave = (np.sin(np.arange(start, start + 1024) / 20) * 9000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def raw_file(size: tuple[int, int] = (64, 48), preview: bytes | None = None, orientation: int = 1) -> bytes:
    """A DNG: a sensor's values and, when given, a JPEG as the preview."""
    width, height = size
    sensor = (np.add.outer(np.arange(height) * 90, np.arange(width) * 60) % 16000).astype("<u2").tobytes()
    shared = {271: b"Rebus\0", 272: b"Tester\0", 274: [orientation], 306: b"2021:05:04 12:34:56\0"}
    main: dict[int, Any] = {
        254: [0], 256: [width], 257: [height], 258: [16], 259: [1], 262: [32803], **shared, 273: sensor, 277: [1],
        278: [height], 279: [len(sensor)], 33421: [2, 2], 33422: bytes((0, 1, 1, 2)), 50706: bytes((1, 4, 0, 0)),
        50708: b"Rebus Tester\0", 50717: [16383],
    }  # fmt: skip
    if preview is None:
        return _tiff([main])
    with Image.open(io.BytesIO(preview)) as image:
        small: dict[int, Any] = {
            254: [1], 256: [image.width], 257: [image.height], 258: [8, 8, 8], 259: [7], 262: [6], **shared,
            273: preview, 277: [3], 278: [image.height], 279: [len(preview)], 50706: bytes((1, 4, 0, 0)),
        }  # fmt: skip
    return _tiff([small, main])


_ASCII = (271, 272, 306, 50708)


def _tiff(folders: Sequence[dict[int, Any]]) -> bytes:
    """A little-endian TIFF. Values: bytes (of tag 273: the strip itself), or whole numbers."""
    out = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for folder in folders:
        rows = b""
        for tag, value in sorted(folder.items()):
            if tag == 273:
                kind, count, data = 4, 1, struct.pack("<I", len(out))
                out += value
            elif isinstance(value, bytes):
                kind, count, data = (
                    (2 if value.endswith(b"\0") and tag < 60000 and tag != 50706 else 1),
                    len(value),
                    value,
                )
            else:
                kind, count, data = 4, len(value), struct.pack(f"<{len(value)}I", *value)
            if len(data) > 4:
                place = struct.pack("<I", len(out))
                out += data
                data = place
            rows += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        struct.pack_into("<I", out, link, len(out))
        out += struct.pack("<H", len(folder)) + rows
        link = len(out)
        out += bytes(4)
    return bytes(out)


def pdf(pages: Sequence[str], *, size: tuple[float, float] = (300, 200), info: str = "", extra: str = "") -> bytes:
    """A PDF of pages of words, one line each. extra: entries of its trailer."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{kids}] /MediaBox [0 0 {size[0]:g} {size[1]:g}] >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, words in enumerate(pages):
        text = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").replace("\n", ") ' (")
        content = f"BT /F1 12 Tf 14 TL 20 {size[1] - 40:g} Td ({text}) ' ET"
        font = "/Resources << /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R {font} /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects.append(f"<< {info} >>")
    return pdf_of(objects, f"/Info {len(objects)} 0 R {extra}")


def pdf_of(objects: Sequence[str], trailer: str = "") -> bytes:
    """A PDF of objects numbered from 1, the first of them its catalog."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    out_table = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n"
    return bytes(out + out_table.encode() + f"startxref\n{len(out)}\n%%EOF\n".encode())


def svg(body: str, attributes: str = 'width="100" height="50"') -> bytes:
    """A drawing."""
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {names} {attributes}>{body}</svg>".encode()


def png(width: int, height: int, pixels: bytes | None = None, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header says what it likes, of RGB. pixels: before compression, a few zeros when not given."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000 if pixels is None else pixels, 1)
    parts = ((b"IHDR", header), *extra, (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def slow_drawing(path: Path) -> Path:
    """A drawing within all limits that takes minutes: thousands of half clear layers."""
    tower = '<g opacity="0.9">' * 90 + '<rect width="100" height="50"/>' + "</g>" * 90
    path.write_bytes(svg(tower * 2000))
    return path
