"""PNG, WebP and GIF files that keep only the chunks which make the picture: the rest may tell anything."""

import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs acTL fcTL fdAT".split()
)
_WEBP_KEPT = frozenset((b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ICCP"))
_FRAME, _FRAME_HEADER, _FRAME_KEPT = b"ANMF", 16, frozenset((b"VP8 ", b"VP8L", b"ALPH"))
_GIF_FRAME, _GIF_EXTENSION, _GIF_END = b"\x2c", b"\x21", b"\x3b"
_GIF_KEPT = (b"\xf9", b"\xff\x0bNETSCAPE2.0", b"\xff\x0bANIMEXTS1.0", b"\xff\x0bICCRGBG1012")  # times, repeats, colours
_HAS_EXIF, _HAS_XMP = 0x08, 0x04  # flags of VP8X


def bare_png(data: bytes, exif: bytes = b"") -> bytes:
    """A PNG, animated or not, without what is said beside its picture. exif: a TIFF block to say instead.

    Raises ValueError for what cannot be followed to its end.
    """
    if not data.startswith(_PNG):
        raise ValueError("no PNG")
    out, at = bytearray(_PNG), len(_PNG)
    while True:
        if at + 12 > len(data):
            raise ValueError("its end is missing")
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if kind == b"IEND" or (kind == b"IDAT" and exif):  # before the pixels, where all readers look
            if exif:
                out += struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
                exif = b""
        if kind in _PNG_KEPT:
            out += chunk
        if kind == b"IEND":
            return bytes(out)
        at += 12 + length


def bare_webp(data: bytes, exif: bytes = b"") -> bytes:
    """A WebP, animated or not, in the same way. Raises ValueError."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP")
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise ValueError("its end is missing")
    kept = [(kind, content) for kind, content in _chunks(data, 12, end) if _is_kept(kind, content)]
    out = bytearray(b"WEBP")
    for kind, content in kept:
        if kind == b"VP8X":
            flags = content[0] & ~(_HAS_EXIF | _HAS_XMP) | (_HAS_EXIF if exif else 0)
            content = bytes([flags]) + content[1:]
        out += _chunk(kind, content)
    if exif and any(kind == b"VP8X" for kind, _ in kept):
        out += _chunk(b"EXIF", exif)
    return b"RIFF" + len(out).to_bytes(4, "little") + bytes(out)


def bare_gif(data: bytes, exif: bytes = b"") -> bytes:
    """A GIF, animated or not, in the same way; it knows no EXIF, and none is put in. Raises ValueError."""
    if data[:6] not in (b"GIF87a", b"GIF89a"):
        raise ValueError("no GIF")
    at = 13 + _colours(data, 10)
    out = bytearray(data[:at])
    while (kind := data[at : at + 1]) != _GIF_END:
        start = at
        if kind == _GIF_FRAME:
            at = _after_blocks(data, at + 11 + _colours(data, at + 9))
        elif kind == _GIF_EXTENSION:
            at = _after_blocks(data, at + 2)
        else:
            raise ValueError("a block of no known kind")
        if kind == _GIF_FRAME or data[start + 1 : start + 14].startswith(_GIF_KEPT):
            out += data[start:at]
    return bytes(out + _GIF_END)


def _colours(data: bytes, at: int) -> int:
    """Bytes of the table of colours that the flags at a place announce."""
    if at >= len(data):
        raise ValueError("its end is missing")
    return 3 << ((data[at] & 7) + 1) if data[at] & 0x80 else 0


def _after_blocks(data: bytes, at: int) -> int:
    while at < len(data):
        size = data[at]
        at += 1 + size
        if size == 0:
            return at
    raise ValueError("its end is missing")


def _is_kept(kind: bytes, content: bytes) -> bool:
    if kind == _FRAME and not {inner for inner, _ in _chunks(content, _FRAME_HEADER, len(content))} <= _FRAME_KEPT:
        raise ValueError("a frame holds more than a picture")
    return kind == _FRAME or kind in _WEBP_KEPT


def _chunks(data: bytes, at: int, end: int) -> list[tuple[bytes, bytes]]:
    found = []
    while at < end:
        if at + 8 > end:
            raise ValueError("a chunk is cut")
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > end:
            raise ValueError("a chunk is cut")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)
