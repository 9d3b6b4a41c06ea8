"""Text as EXIF and IPTC spell it: encodings that are not said, and words that no person wrote."""

import re
import unicodedata
from typing import Any

_ODD = ("Cc", "Cn", "Co", "Cs")  # categories of characters that no text holds, but text in a wrong encoding does
_DEFAULTS = re.compile(
    r"""(?:(?:olympus|konica\ ?|minolta|samsung|kodak|sony|nikon|casio|vivitar|polaroid)[\w\s/,.-]{0,20})?
        digital\ (?:still\ )?camera
    |sony\ dsc[\w-]* | dc(?:im|f)\b.* | jpeg\ picture | exif[_\ ]jpeg(?:[_\ ]picture)?
    |created\ with\ (?:the\ )?gimp.* | file\ written\ by\ adobe.* | processed\ with\ vsco.* | applemark
    |lead\ technologies.* | creator:\ gd-jpeg.* | ascii | charset=\w* | binary\ comment | \{.*\} | <.*>
    |(?:image|picture|user|xp)?\s?(?:description|comments?|title|subject|caption) | default | none | null | untitled
    |(?:img|image|dsc[fn]?|pict?|pxl|mvi|gopr|sam|p)[\W\d_]*
    |[\w\\/:.~\ -]+\.(?:jpe?g|png|tiff?|gif|bmp|webp|heic|avif|raw|nef|cr[23w]|arw|dng|psd)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def is_default(text: str) -> bool:
    """Whether a camera, a program or nobody wrote this: a brand, a file's name, no letters at all."""
    return not any(character.isalpha() for character in text) or bool(_DEFAULTS.fullmatch(text))


def legacy_text(value: Any) -> str:
    """Text of one byte a character, or UTF-8 in its place; strings are taken as Latin-1 that Pillow decoded."""
    if isinstance(value, str):
        try:
            value = value.encode("latin-1")
        except UnicodeEncodeError:  # it was decoded with more knowledge
            return str(value)
    if not isinstance(value, bytes):
        return ""
    value = value.strip(b"\0 ")
    for encoding in ("utf-8", "cp1252"):
        try:
            return str(value.decode(encoding))
        except UnicodeDecodeError:
            continue
    return str(value.decode("latin-1"))


def wide_text(value: Any) -> str:
    """UTF-16 as Windows writes it into the XP tags."""
    if isinstance(value, tuple):
        value = bytes(value)
    return value.decode("utf-16-le", "replace").partition("\0")[0] if isinstance(value, bytes) else ""


def comment_text(value: Any, *, big_endian: bool) -> str:
    """A UserComment, whose first eight bytes name its encoding. Empty when it is no text."""
    if not isinstance(value, bytes):
        return legacy_text(value)
    code, body = value[:8], value[8:]
    if code == b"UNICODE\0":
        return _utf16(body, big_endian=big_endian)
    if code == b"JIS\0\0\0\0\0":
        return body.decode("iso2022_jp", "ignore").strip("\0")
    text = legacy_text(body if code in (b"ASCII\0\0\0", bytes(8)) else value)
    return "" if any(character < " " and character not in "\t\r\n" for character in text) else text


def _utf16(data: bytes, *, big_endian: bool) -> str:
    """Programs disagree whether its order is the file's: the order that gives likelier text is taken."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").strip("\0")
    orders = ("utf-16-be", "utf-16-le") if big_endian else ("utf-16-le", "utf-16-be")
    return max((data.decode(order, "replace").strip("\0") for order in orders), key=_likelihood)


def _likelihood(text: str) -> int:
    odd = sum(unicodedata.category(character) in _ODD and not character.isspace() for character in text[:200])
    return sum(character.isascii() for character in text[:200]) - 2 * odd - text.count("\ufffd")
