"""XMP: what a packet inside a file, or a sidecar beside it, says of a picture."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from engine.errors import MediaError
from engine.media.contract import Facts
from engine.media.values import camera_name, degrees, moment, one_line, place_name

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LARGEST = 16 << 20  # bytes of a packet
_MOST_WORDS = 1000  # keywords, and titles and descriptions, of one picture

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_IPTC = "{http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/}"
_IPTC_MORE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
_DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"

_WORDS = (
    f"{_DC}title",
    f"{_PHOTOSHOP}Headline",
    f"{_DC}description",
    f"{_IPTC}AltTextAccessibility",
    f"{_IPTC}ExtDescrAccessibility",
)
_KEYWORDS = (f"{_DC}subject", f"{_IPTC_MORE}PersonInImage")
_HIERARCHIES = ((f"{_LIGHTROOM}hierarchicalSubject", "|"), (f"{_DIGIKAM}TagsList", "/"))
_PEOPLE = (
    "{http://www.metadataworkinggroup.com/schemas/regions/}Name",
    "{http://ns.microsoft.com/photo/1.2/t/Region#}PersonDisplayName",
)
_DATES = (f"{_EXIF}DateTimeOriginal", f"{_PHOTOSHOP}DateCreated", f"{_XMP}CreateDate", f"{_EXIF}DateTimeDigitized")
_PLACES = (f"{_IPTC}Location", *(f"{_PHOTOSHOP}{part}" for part in ("City", "State", "Country")))
_NO_LANGUAGE = ("", "x-default")


@dataclass(frozen=True, slots=True)
class XmpWords:
    """A title or description. lang: its code as written there, such as en-GB; empty when none is said."""

    text: str
    lang: str = ""


@dataclass(frozen=True, slots=True)
class Xmp:
    """What XMP says: facts, and titles and descriptions in that order, without repeats."""

    facts: Facts = field(default_factory=Facts)
    words: tuple[XmpWords, ...] = ()


def parse_xmp(data: bytes) -> Xmp:
    """Read a packet or a sidecar of XMP. Raises MediaError (stage caption) when it is none."""
    if len(data) > _LARGEST:
        reason = f"{len(data):,} bytes of XMP, over the limit of {_LARGEST:,}"
        raise MediaError("caption", reason, "write it again with the program it comes from")
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):  # half a character of UTF-16 may look like padding
        data = data.strip(b"\0 \t\r\n")
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException:
        raise MediaError("caption", "XMP may not define entities", "remove its DOCTYPE") from None
    except (ParseError, ValueError, LookupError, MemoryError) as error:
        hint = "write it again with the program it comes from"
        raise MediaError("caption", f"damaged XMP: {error}", hint) from None
    trees = list(root.iter(f"{_RDF}RDF"))
    if not trees:
        raise MediaError(
            "caption", "not XMP: it has no rdf:RDF element", "check that the name's ending tells the truth"
        )
    said = _properties(trees)
    return Xmp(_facts(said, _people(trees)), tuple(_words(said)))


def _properties(trees: "list[Element]") -> dict[str, list[XmpWords]]:
    """The values of each property, whether it was written as an attribute, an element or a container."""
    said: dict[str, list[XmpWords]] = {}
    for node in (node for tree in trees for node in tree if node.tag == f"{_RDF}Description"):
        for name, value in node.attrib.items():
            said.setdefault(name, []).append(XmpWords(value))
        for element in node:
            said.setdefault(element.tag, []).extend(_values(element))
    return said


def _values(element: "Element") -> "Iterator[XmpWords]":
    for holder in element:
        if holder.tag in (f"{_RDF}Alt", f"{_RDF}Bag", f"{_RDF}Seq"):
            yield from (XmpWords(item.text, item.get(_LANGUAGE, "")) for item in holder if item.text)
    if element.text:
        yield XmpWords(element.text, element.get(_LANGUAGE, ""))


def _people(trees: "list[Element]") -> Iterator[str]:
    """The names of the regions of a picture: faces, mostly."""
    for node in (node for tree in trees for node in tree.iter()):
        for name in _PEOPLE:
            if node.tag == name or name in node.attrib:
                yield node.attrib.get(name) or node.text or ""


def _words(said: dict[str, list[XmpWords]]) -> Iterator[XmpWords]:
    seen: set[str] = set()
    for name in _WORDS:
        # the default language repeats one of the others: the one that names its language is worth more
        for value in sorted(said.get(name, []), key=lambda value: value.lang.lower() in _NO_LANGUAGE):
            text = " ".join(value.text.split())
            if text and text not in seen and len(seen) < _MOST_WORDS:
                seen.add(text)
                lang = "" if value.lang.lower() in _NO_LANGUAGE else one_line(value.lang, 16)
                yield XmpWords(text, lang)


def _facts(said: dict[str, list[XmpWords]], people: Iterator[str]) -> Facts:
    def first(name: str) -> str | None:
        return next((line for value in said.get(name, []) if (line := one_line(value.text))), None)

    keywords = [value.text for name in _KEYWORDS for value in said.get(name, [])]
    for name, mark in _HIERARCHIES:
        keywords += [part for value in said.get(name, []) for part in value.text.split(mark)]
    clean = dict.fromkeys(line for word in (*keywords, *people) if (line := one_line(word)))
    north, east = degrees(first(f"{_EXIF}GPSLatitude") or "", 90), degrees(first(f"{_EXIF}GPSLongitude") or "", 180)
    somewhere = north is not None and east is not None
    return Facts(
        taken_at=next((at for name in _DATES if (at := moment(first(name) or "")) is not None), None),
        camera=camera_name(first(f"{_TIFF}Make"), first(f"{_TIFF}Model")),
        latitude=north if somewhere else None,
        longitude=east if somewhere else None,
        place=place_name(first(name) for name in _PLACES),
        title=first(f"{_DC}title"),
        keywords=tuple(clean)[:_MOST_WORDS],
    )
