"""Drawings: SVG, rasterised by resvg after everything that reaches out of the file or grows without bound is removed.

resvg itself opens any file that an <image> names, draws what <use> multiplies, and dies of a tree that is too deep,
so the tree is parsed here first, by defusedxml: no entities, no other file, no more elements than the limits.
"""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NoReturn

import defusedxml
import defusedxml.ElementTree
import resvg_py
from PIL import Image

from engine.config import MediaSettings
from engine.errors import MediaError
from engine.media.contract import Facts, Frame, Media
from engine.media.files import open_file, read_file
from engine.media.fonts import font_families
from engine.media.limits import damaged
from engine.media.pixels import check_pixels, rgb
from engine.types import Modality

_MOST_BYTES = 64 * 2**20
_MOST_ELEMENTS = 250_000  # with what <use> and url(#...) repeat
_DEEPEST = 100  # resvg overflows its stack at some 400
_SVG = "http://www.w3.org/2000/svg"
_EMBEDDED = re.compile(r"\s*data:image/(?:png|jpe?g|gif|webp)\s*;\s*base64\s*,", re.IGNORECASE)
_REFERENCES = re.compile(r"url\(\s*['\"]?\s*#([^)'\"]+)")
# Of these a drawing needs little, and the time they take grows with them alone.
_LARGEST = {"numOctaves": 8.0, "radius": 40.0, "order": 9.0}
_TEXT = frozenset({"text", "tspan", "textPath"})


def read_drawing(path: Path, settings: MediaSettings, at_least: int) -> Media:
    """An SVG, its longer side twice `at_least` pixels: a drawing has no pixels of its own. Raises MediaError."""
    with open_file(path, settings.max_bytes) as file:
        if file.seek(0, io.SEEK_END) > _MOST_BYTES:
            _refuse(f"more than {_MOST_BYTES:,} bytes of drawing", "export it as a picture")
    data = read_file(path, _MOST_BYTES)
    root = _parse(data)
    _secure(root, settings.max_pixels)
    _measure(root)
    image = _draw(root, 2 * at_least)
    check_pixels(image.size, settings.max_pixels)
    title = " ".join((root.findtext(f"{{{_SVG}}}title") or "").split())
    return Media(Modality.IMAGE, (Frame(image, *image.size),), facts=Facts(title=title[:500] or None))


def _parse(data: bytes) -> ElementTree.Element:
    try:
        root: ElementTree.Element = defusedxml.ElementTree.fromstring(data)
    except defusedxml.DefusedXmlException:
        _refuse("it declares XML entities, which can grow without bound", "save it again as plain SVG")
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise damaged(error) from None
    if _name(root) != "svg":
        _refuse(f"not a drawing: its first element is <{_name(root)[:40]}>", "check that the name tells the truth")
    if root.tag == "svg":
        root.set("xmlns", _SVG)
    return root


def _secure(root: ElementTree.Element, max_pixels: int) -> None:
    """Remove what names another file, and cap what a filter asks for."""
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            name = key.rpartition("}")[2]
            if name == "href" and not value.lstrip().startswith("#") and not _is_picture(value, max_pixels):
                del element.attrib[key]
            elif name in _LARGEST:
                element.set(key, " ".join(_capped(part, _LARGEST[name]) for part in value.replace(",", " ").split()))


def _capped(number: str, most: float) -> str:
    try:
        return number if abs(float(number)) <= most else f"{most:g}"
    except ValueError:
        return "0"


def _is_picture(href: str, max_pixels: int) -> bool:
    """Whether a reference is a picture inside the drawing itself, small enough to decode. Drawings in it are none."""
    head = _EMBEDDED.match(href)
    if not head:
        return False
    try:
        with Image.open(io.BytesIO(base64.b64decode(href[head.end() :]))) as image:
            return image.format in ("PNG", "JPEG", "GIF", "WEBP") and image.width * image.height <= max_pixels
    except Exception:  # nearly anything, on damaged data
        return False


def _measure(root: ElementTree.Element) -> None:
    """Raise MediaError when the drawing is too deep or has too many elements, with all that it repeats."""
    named = {value: element for element in root.iter() if (value := element.get("id"))}
    known: dict[ElementTree.Element, tuple[int, int]] = {}

    def measure(element: ElementTree.Element, level: int) -> tuple[int, int]:
        """How many elements are drawn for it, and how many levels."""
        count, height = known.get(element, (1, 0))
        if level + height > _DEEPEST:
            _refuse(f"its elements are nested more than {_DEEPEST} deep", "flatten its groups")
        if element in known:
            return count, height
        known[element] = 1, 0  # met again while it is measured, it refers to itself: resvg leaves that out
        for part in (*element, *(named[name] for name in _references(element) if name in named)):
            below, levels = measure(part, level + 1)
            count, height = count + below, max(height, levels + 1)
            if count > _MOST_ELEMENTS:
                _refuse(f"it draws more than {_MOST_ELEMENTS:,} elements", "simplify it")
        known[element] = count, height
        return count, height

    measure(root, 1)


def _references(element: ElementTree.Element) -> list[str]:
    """The ids that an element refers to."""
    found: list[str] = []
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == "href" and value.lstrip().startswith("#"):
            found.append(value.strip()[1:])
        elif "#" in value:
            found += _REFERENCES.findall(value)
    return found


def _draw(root: ElementTree.Element, longest: int) -> Image.Image:
    """RGB on white, within a square of `longest` pixels."""
    words = any(_name(element) in _TEXT for element in root.iter())
    fonts = font_families() if words else {"skip_system_fonts": True}  # looking for them takes its time
    svg = ElementTree.tostring(root, encoding="unicode")
    try:
        png = resvg_py.svg_to_bytes(svg_string=svg, width=longest, height=longest, dpi=96, **fonts)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of resvg is no Exception
        raise damaged(error) from None
    return rgb(Image.open(io.BytesIO(png)))


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _refuse(reason: str, hint: str) -> NoReturn:
    raise MediaError("decode", reason, hint)
