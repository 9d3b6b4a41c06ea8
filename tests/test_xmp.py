"""XMP as programs write it, and as hostile files do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MediaError
from engine.media.values import camera_name, degrees, moment, one_line, place_name
from engine.media.xmp import XmpWords, parse_xmp

SPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:lr="http://ns.adobe.com/lightroom/1.0/" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
    'xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"'
)


def packet(inside: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {SPACES}><rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description></rdf:RDF>'
        '</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


FULL = packet(
    """
    <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Low tide</rdf:li></rdf:Alt></dc:title>
    <dc:description><rdf:Alt>
      <rdf:li xml:lang="x-default">A red boat
        on the sand</rdf:li><rdf:li xml:lang="en-GB">A red boat on the sand</rdf:li>
      <rdf:li xml:lang="de">Ein rotes Boot</rdf:li></rdf:Alt></dc:description>
    <dc:subject><rdf:Bag><rdf:li>boat</rdf:li><rdf:li> beach </rdf:li><rdf:li/></rdf:Bag></dc:subject>
    <lr:hierarchicalSubject><rdf:Bag><rdf:li>Places|Brittany</rdf:li></rdf:Bag></lr:hierarchicalSubject>
    <exif:DateTimeOriginal>2019-07-14T10:30:00.25+02:00</exif:DateTimeOriginal>
    <exif:GPSLatitude>48,35.5N</exif:GPSLatitude><exif:GPSLongitude>4,33,36W</exif:GPSLongitude>
    <mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>
      <rdf:li><rdf:Description mwg-rs:Name="Maria" mwg-rs:Type="Face"/></rdf:li></rdf:Bag></mwg-rs:RegionList>
    </mwg-rs:Regions>
    """,
    'tiff:Make="Canon" tiff:Model="Canon EOS 5D" photoshop:City="Roscoff" photoshop:Country="France" xmp:Rating="5"',
)


def test_everything_a_photographer_writes_is_read() -> None:
    found = parse_xmp(FULL)
    assert found.words == (
        XmpWords("Low tide"),
        XmpWords("A red boat on the sand", "en-GB"),
        XmpWords("Ein rotes Boot", "de"),
    )
    facts = found.facts
    assert (facts.title, facts.camera, facts.place) == ("Low tide", "Canon EOS 5D", "Roscoff, France")
    assert facts.keywords == ("boat", "beach", "Places", "Brittany", "Maria")
    assert facts.taken_at == 1563093000.25
    assert facts.latitude == pytest.approx(48.591667) and facts.longitude == pytest.approx(-4.56)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_unicode_encoding_and_padding_is_read(encoding: str) -> None:
    data = packet("<dc:description>Größe</dc:description>").decode().replace("\ufeff", "").encode(encoding)
    assert parse_xmp(data + b" \n" * 100 if encoding != "utf-16" else data).words == (XmpWords("Größe"),)


def test_half_a_position_is_no_position() -> None:
    facts = parse_xmp(packet("<exif:GPSLatitude>48,35.5N</exif:GPSLatitude>")).facts
    assert (facts.latitude, facts.longitude) == (None, None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged XMP"),
        (b"\xff\xd8\xff", "damaged XMP"),
        (FULL[:-60], "damaged XMP"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "damaged XMP"),
        (b"<html/>", "rdf:RDF"),
        (b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>', "entities"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "entities"),
        (b" " * (17 << 20), "over the limit"),
    ],
)
def test_what_is_no_xmp_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=reason) as caught:
        parse_xmp(data)
    assert caught.value.stage == "caption" and caught.value.hint


def test_a_deep_tree_is_walked() -> None:
    deep = packet("<dc:description>" + "<dc:a>" * 50_000 + "</dc:a>" * 50_000 + "</dc:description>")
    assert parse_xmp(deep).words == ()


@given(st.binary(max_size=200), st.integers(0, len(FULL)), st.integers(0, 100))
def test_whatever_a_packet_holds_the_outcome_is_clean_or_told(noise: bytes, at: int, cut: int) -> None:
    for data in (noise, FULL[:at] + noise + FULL[at + cut :]):
        try:
            found = parse_xmp(data)
        except MediaError:
            continue
        for line in (*(words.text for words in found.words), *found.facts.keywords, found.facts.camera or "x"):
            assert line and line == " ".join(line.split())
        assert found.facts.latitude is None or -90 <= found.facts.latitude <= 90


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-02", 86400),
        ("1970", 0),
        ("1970-02", 31 * 86400),
        ("1970:01:01 00:00:10", 10),
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T01:00:10.5+01:00", 10.5),
        ("1969-12-31T22:30:00-0130", 0),
        ("0000:00:00 00:00:00", None),
        ("1970-13-01", None),
        ("1970-01-01T25:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_moments(text: str, at: float | None) -> None:
    assert moment(text) == at


@pytest.mark.parametrize(
    ("text", "most", "angle"),
    [
        ("54,30N", 90, 54.5),
        ("54,30.0,36S", 90, -54.51),
        ("-3.25", 180, -3.25),
        ("0,30W", 180, -0.5),
        ("41°24'36\"N", 90, 41.41),
        ("91", 90, None),
        ("north", 90, None),
    ],
)
def test_angles(text: str, most: float, angle: float | None) -> None:
    assert degrees(text, most) == (None if angle is None else pytest.approx(angle))


def test_names_are_made_of_their_parts() -> None:
    assert camera_name("NIKON CORPORATION", "NIKON D90") == "NIKON D90"
    assert camera_name("Apple", "iPhone 12") == "Apple iPhone 12"
    assert (camera_name("Leica", None), camera_name(None, "X100"), camera_name(None, " ")) == ("Leica", "X100", None)
    assert place_name(["Rome", None, "Lazio", "Rome", " "]) == "Rome, Lazio" and place_name([]) is None


@given(st.text(max_size=60))
def test_a_line_is_one_line(text: str) -> None:
    line = one_line(text, 20)
    assert line.isprintable() and line == " ".join(line.split()) and len(line) <= 20
    moment(text)
    degrees(text, 90)
    line.encode()
