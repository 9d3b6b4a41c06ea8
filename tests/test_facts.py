"""What pictures say of themselves, written into real files here, and as damaged files say it."""

import io
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, TiffImagePlugin
from PIL.TiffImagePlugin import IFDRational

from engine.catalog import Catalog
from engine.config import MediaSettings
from engine.filters import Filters
from engine.media import read_media
from engine.media.contract import Facts, Passage
from engine.media.facts import MOST_CHARACTERS, MOST_KEYWORDS, MOST_PASSAGES, facts_of, facts_of_raw
from engine.media.spelling import comment_text, is_default, legacy_text, wide_text
from engine.media.values import camera_name
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.library import index_folders
from tests.conftest import config_at, silent
from tests.media_files import raw_file

TAG, GPS = ExifTags.Base, ExifTags.GPS
NOTHING = (Facts(), ())
Tags = Mapping[Any, Any]

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"><rdf:Description rdf:about="" {attributes}>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{description}</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>Harbour</rdf:li><rdf:li>Night</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def at(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


def exif(main: Tags | None = None, detail: Tags | None = None, gps: Tags | None = None) -> Image.Exif:
    made = Image.Exif()
    made.update(main or {})
    made.get_ifd(ExifTags.IFD.Exif).update(detail or {})
    made.get_ifd(ExifTags.IFD.GPSInfo).update(gps or {})
    return made


def picture(form: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 16), "teal").save(out, form, **options)
    return out.getvalue()


def read(data: bytes) -> tuple[Facts, tuple[Passage, ...]]:
    with Image.open(io.BytesIO(data)) as image:
        return facts_of(image)


def of_exif(main: Tags | None = None, detail: Tags | None = None, gps: Tags | None = None) -> Any:
    return read(picture(exif=exif(main, detail, gps)))


def dataset(number: int, value: bytes, record: int = 2) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def with_iptc(*datasets: bytes, data: bytes | None = None) -> bytes:
    """A JPEG with an IPTC block after its start, as Photoshop writes it."""
    block = b"".join(datasets)
    body = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(block)) + block + b"\0" * (len(block) % 2)
    jpeg = data or picture()
    return jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def texts(passages: tuple[Passage, ...]) -> list[str]:
    return [passage.text for passage in passages]


# --- EXIF ---

TAKEN: dict[int, Any] = {TAG.DateTimeOriginal: "2019:07:14 10:30:00"}
LISBON: dict[int, Any] = {
    GPS.GPSLatitudeRef: "N",
    GPS.GPSLatitude: (38.0, 43.0, 12.0),
    GPS.GPSLongitudeRef: "W",
    GPS.GPSLongitude: (9.0, 8.0, 24.0),
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_format_says_what_its_exif_says(form: str) -> None:
    main = {TAG.Make: "NIKON CORPORATION", TAG.Model: "NIKON D90", TAG.ImageDescription: "Boats at low tide"}
    facts, passages = read(picture(form, exif=exif(main, TAKEN, LISBON).tobytes()))
    assert (facts.taken_at, facts.camera) == (at(2019, 7, 14, 10, 30), "NIKON D90")
    assert facts.latitude == pytest.approx(38.72) and facts.longitude == pytest.approx(-9.14)
    assert passages == (Passage("Boats at low tide", "exif"),)


def test_a_picture_that_says_nothing() -> None:
    for form in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        assert read(picture(form)) == NOTHING


@pytest.mark.parametrize(
    ("detail", "taken"),
    [
        (TAKEN | {TAG.OffsetTimeOriginal: "+02:00"}, at(2019, 7, 14, 8, 30)),
        (TAKEN | {TAG.OffsetTimeOriginal: "-0530"}, at(2019, 7, 14, 16, 0)),
        (TAKEN | {TAG.OffsetTimeOriginal: "   :  "}, at(2019, 7, 14, 10, 30)),
        ({TAG.DateTimeDigitized: "2019:07:14 10:30:00"}, at(2019, 7, 14, 10, 30)),
        (TAKEN | {TAG.DateTimeDigitized: "2022:01:01 00:00:00"}, at(2019, 7, 14, 10, 30)),
        ({TAG.DateTimeOriginal: "0000:00:00 00:00:00", TAG.DateTimeDigitized: "2020:01:02 03:04:05"},
         at(2020, 1, 2, 3, 4, 5)),
        ({TAG.DateTimeOriginal: "1955:11:05 06:00:00"}, at(1955, 11, 5, 6)),
        ({TAG.DateTimeOriginal: "2019:13:41 10:30:00"}, None),
        ({TAG.DateTimeOriginal: "0001:01:01 00:00:00"}, None),
        ({TAG.DateTimeOriginal: "    :  :     :  :  "}, None),
        ({TAG.DateTimeOriginal: "yesterday"}, None),
    ],
)  # fmt: skip
def test_when_it_was_taken(detail: dict[int, Any], taken: float | None) -> None:
    assert of_exif(detail=detail)[0].taken_at == taken


@pytest.mark.parametrize(
    "change",
    [
        {GPS.GPSLatitude: (IFDRational(0, 0), 0.0, 0.0)},
        {GPS.GPSLongitude: (9.0, IFDRational(1, 0), 0.0)},
        {GPS.GPSLatitude: (91.0, 0.0, 0.0)},
        {GPS.GPSLongitude: (180.0, 1.0, 0.0)},
        {GPS.GPSLatitude: (38.0, 61.0, 0.0)},
        {GPS.GPSLatitudeRef: "X"},
        {GPS.GPSLongitudeRef: ""},
        {GPS.GPSLatitude: (0.0, 0.0, 0.0), GPS.GPSLongitude: (0.0, 0.0, 0.0)},
    ],
)
def test_a_place_that_is_none(change: dict[int, Any]) -> None:
    facts, _ = of_exif({TAG.Model: "X100"}, gps=LISBON | change)
    assert (facts.latitude, facts.longitude, facts.camera) == (None, None, "X100")


def test_south_and_east_and_degrees_alone() -> None:
    gps = {
        GPS.GPSLatitudeRef: "S", GPS.GPSLatitude: (33.5, 0.0, 0.0),
        GPS.GPSLongitudeRef: "E", GPS.GPSLongitude: (18.0, 30.0, 0.0),
    }  # fmt: skip
    facts, _ = of_exif(gps=gps)
    assert (facts.latitude, facts.longitude) == (-33.5, 18.5)


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("LEICA CAMERA AG", "LEICA M10", "LEICA M10"),
        ("Leica Camera AG", "M8 Digital Camera", "Leica M8 Digital Camera"),
        ("OLYMPUS IMAGING CORP.  ", "E-M5          ", "OLYMPUS E-M5"),
        ("EASTMAN KODAK COMPANY", "KODAK DC280", "KODAK DC280"),
        ("SONY", "DSC-RX100", "SONY DSC-RX100"),
        ("Camera", None, "Camera"),
    ],
)
def test_a_camera_names_its_maker_once(make: str, model: str | None, name: str) -> None:
    assert camera_name(make, model) == name


def test_the_tags_of_windows() -> None:
    wide = {
        TAG.XPTitle: "Der Hafen 船".encode("utf-16-le") + b"\0\0",
        TAG.XPComment: "Vor dem Sturm".encode("utf-16-le") + b"\0\0",
        TAG.XPKeywords: "Hafen; Boot ;Hafen;;".encode("utf-16-le"),
    }
    facts, passages = of_exif(wide)
    assert (facts.title, facts.keywords) == ("Der Hafen 船", ("hafen", "boot"))
    assert texts(passages) == ["Der Hafen 船", "Vor dem Sturm"]


@pytest.mark.parametrize(
    ("comment", "text"),
    [
        (b"ASCII\0\0\0A boat", "A boat"),
        (b"\0\0\0\0\0\0\0\0A boat   \0\0", "A boat"),
        ("ASCII\0\0\0Ein schönes Boot".encode(), "Ein schönes Boot"),
        (b"ASCII\0\0\0" + "Ein schönes Boot".encode("cp1252"), "Ein schönes Boot"),
        (b"UNICODE\0" + "A boat".encode("utf-16-le"), "A boat"),
        (b"UNICODE\0" + "A boat".encode("utf-16-be"), "A boat"),
        (b"UNICODE\0" + "日本語の船".encode("utf-16-be"), "日本語の船"),
        (b"UNICODE\0" + "日本語の船".encode("utf-16-le"), "日本語の船"),
        (b"UNICODE\0" + "A boat".encode("utf-16"), "A boat"),
        (b"JIS\0\0\0\0\0" + "日本の船".encode("iso2022_jp"), "日本の船"),
        (b"\0\0\0\0\0\0\0\0\x01\x02\x03makers own", None),
        (b"ASCII\0\0\0", None),
        (b"", None),
    ],
)
def test_the_encodings_of_a_comment(comment: bytes, text: str | None) -> None:
    assert texts(of_exif(detail={TAG.UserComment: comment} | TAKEN)[1]) == ([text] if text else [])


def test_utf8_where_ascii_is_due() -> None:
    assert legacy_text("SchÃ¶n") == "Schön" and legacy_text("Sch\xf6n") == "Schön" and legacy_text("船") == "船"


@pytest.mark.parametrize(
    "words",
    ["OLYMPUS DIGITAL CAMERA", "OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "KONICA MINOLTA DIGITAL CAMERA",
     "SAMSUNG DIGITAL CAMERA", "Created with GIMP", "Created with The GIMP", "DCIM\\100MEDIA\\DJI_0012.JPG",
     "DCF image", "Exif_JPEG_PICTURE", "IMG_2031.jpg", "DSC00017", "holiday 12.tif", "User comments",
     "image description", "default", "<Digimax S500>",
     '{"camera": 3}', "2019-07-14", "---", " ", "File written by Adobe Photoshop® 4.0"],
)  # fmt: skip
def test_what_a_camera_or_a_program_writes_is_no_description(words: str) -> None:
    assert of_exif({TAG.ImageDescription: words})[1] == ()


@pytest.mark.parametrize(
    "words",
    ["My first digital camera", "A Sony DSC on a table", "Screenshot", "P", "Images of Paris", "The default of kings",
     "船", "Created with love", "Nikon meetup 2012, a digital camera fair in Cologne"],
)  # fmt: skip
def test_what_a_person_writes_is_kept(words: str) -> None:
    assert texts(of_exif({TAG.ImageDescription: words.encode()})[1]) == ([] if words == "P" else [words])


def test_serial_numbers_owners_and_makers_notes_are_never_told() -> None:
    secret = "4711-0815"
    detail = {0xA430: f"Jane {secret}", 0xA431: secret, 0xA435: secret, 0x927C: secret.encode(), **TAKEN}
    facts, passages = of_exif(
        {TAG.Artist: secret, TAG.Copyright: secret, TAG.XPAuthor: secret.encode("utf-16-le"), 0xC62F: secret}, detail
    )
    assert facts == Facts(taken_at=at(2019, 7, 14, 10, 30)) and passages == ()


# --- IPTC ---


def test_iptc_in_a_jpeg() -> None:
    facts, passages = read(
        with_iptc(
            dataset(90, b"\x1b%G", record=1), dataset(5, b"IMG_0012.jpg"), dataset(105, "Caf\u00e9 am Hafen".encode()),
            dataset(120, b"A caf\xe9 in\rthe harbour"), dataset(25, b"Harbour"), dataset(25, b"harbour "),
            dataset(25, "Café".encode()), dataset(90, b"Lisbon"), dataset(101, b"Portugal"), dataset(55, b"20190714"),
            dataset(60, b"103000+0200"),
        )
    )  # fmt: skip
    assert facts == Facts(
        taken_at=at(2019, 7, 14, 8, 30), place="Lisbon, Portugal", title="Café am Hafen", keywords=("harbour", "café")
    )
    assert passages == (Passage("Café am Hafen", "iptc"), Passage("A café in the harbour", "iptc"))


def test_iptc_in_a_tiff() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[33723], directory.tagtype[33723] = dataset(120, b"A boat in the fog"), 7
    assert texts(read(picture("TIFF", tiffinfo=directory))[1]) == ["A boat in the fog"]


def test_a_date_of_iptc_takes_its_hour_from_exif() -> None:
    jpeg = picture(exif=exif(detail=TAKEN))
    assert read(with_iptc(dataset(55, b"20190714"), data=jpeg))[0].taken_at == at(2019, 7, 14, 10, 30)
    assert read(with_iptc(dataset(55, b"20190713"), data=jpeg))[0].taken_at == at(2019, 7, 13)


# --- XMP, and all together ---


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_xmp_in_every_format(form: str) -> None:
    packet = XMP.format(attributes='photoshop:City="Lisbon"', description="A boat at night").encode()
    options: dict[str, Any] = {"xmp": packet}
    if form == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    if form == "TIFF":
        options = {"tiffinfo": {700: packet}}
    facts, passages = read(picture(form, **options))
    assert (facts.place, facts.keywords) == ("Lisbon", ("harbour", "night"))
    assert passages == (Passage("A boat at night", "xmp"),)


def test_xmp_is_believed_before_iptc_and_iptc_before_exif() -> None:
    packet = XMP.format(attributes='photoshop:City="Lisbon"', description="A boat at night").encode()
    main = {TAG.Model: "X100", TAG.ImageDescription: "a BOAT at night", TAG.XPComment: "Fog".encode("utf-16-le")}
    jpeg = picture(xmp=packet, exif=exif(main, TAKEN))
    facts, passages = read(with_iptc(dataset(90, b"Porto"), dataset(120, b"Boats"), dataset(25, b"Fog"), data=jpeg))
    assert facts == Facts(
        taken_at=at(2019, 7, 14, 10, 30), camera="X100", place="Lisbon", keywords=("harbour", "night", "fog")
    )
    assert passages == (Passage("A boat at night", "xmp"), Passage("Boats", "iptc"), Passage("Fog", "exif"))


def test_everything_has_its_limit() -> None:
    many = [dataset(25, b"word %d" % number) for number in range(3000)]
    facts, passages = read(with_iptc(*many, dataset(120, b"boat " * 2000), dataset(90, b"x" * 5000)))
    assert len(facts.keywords) == MOST_KEYWORDS and len(facts.place or "") == 200
    (passage,) = passages
    assert len(passage.text) <= MOST_CHARACTERS
    assert MOST_PASSAGES == 16


# --- damage ---


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@given(data=st.data())
def test_random_bytes_as_metadata_say_something_or_nothing(form: str, data: st.DataObject) -> None:
    header = data.draw(st.sampled_from([b"", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08"]))
    found = read(picture(form, exif=header + data.draw(st.binary(min_size=1, max_size=200))))
    assert isinstance(found[0], Facts)


@given(st.data())
def test_damaged_exif_is_left_out_where_it_is_damaged(data: st.DataObject) -> None:
    whole = bytearray(exif({TAG.Model: "X100", TAG.ImageDescription: "A boat"}, TAKEN, LISBON).tobytes())
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(14, len(whole)))
    facts, passages = read(picture(exif=bytes(whole[:cut])))
    check(facts, passages)


@given(
    st.binary(max_size=300) | st.lists(st.builds(dataset, st.integers(0, 255), st.binary(max_size=40))).map(b"".join)
)
@example(dataset(120, b"A boat") + b"\x1c\x02")
def test_random_bytes_as_iptc_say_something_or_nothing(block: bytes) -> None:
    check(*read(with_iptc(block)))


@given(st.binary(max_size=300) | st.text().map(lambda words: XMP.format(attributes="", description=words).encode()))
def test_random_bytes_as_xmp_say_something_or_nothing(packet: bytes) -> None:
    check(*read(picture(xmp=packet)))


def check(facts: Facts, passages: tuple[Passage, ...]) -> None:
    """What may be stored: one line each, within its limit, and numbers that are some."""
    for line in (*texts(passages), *facts.keywords, facts.camera, facts.place, facts.title):
        assert line is None or (line.isprintable() and line.strip() == line != "" and len(line) <= MOST_CHARACTERS)
    assert (facts.latitude is None) == (facts.longitude is None)
    assert facts.latitude is None or (abs(facts.latitude) <= 90 and abs(facts.longitude or 0) <= 180)
    assert facts.taken_at is None or datetime(1000, 1, 1, tzinfo=UTC).timestamp() <= facts.taken_at < 3e11


def test_one_damaged_part_hides_no_other() -> None:
    made = exif({TAG.Model: "X100"}, TAKEN, LISBON).tobytes()
    order = "<" if made[6:8] == b"II" else ">"
    place = made.index(struct.pack(f"{order}HHI", GPS.GPSLatitude, 5, 3))
    broken = made[: place + 2] + b"\xff\xff" + made[place + 4 :]  # a type of value that there is not
    facts, _ = read(with_iptc(b"\x1c\x63 no", data=picture(exif=broken, xmp=b"<no xmp")))
    assert (facts.camera, facts.taken_at, facts.latitude) == ("X100", at(2019, 7, 14, 10, 30), None)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_are_too_odd_to_be_text(data: bytes, big_endian: bool) -> None:
    assert isinstance(comment_text(data, big_endian=big_endian), str)
    assert isinstance(wide_text(data), str) and isinstance(legacy_text(data), str)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
@given(data=st.data())
def test_damaged_exif_never_fails_the_picture(one_file: Path, form: str, data: st.DataObject) -> None:
    whole = bytearray(exif({TAG.Model: "X100", TAG.Orientation: 6, TAG.XResolution: 72.0}, TAKEN, LISBON).tobytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    one_file.write_bytes(picture(form, exif=bytes(whole[: data.draw(st.integers(7, len(whole)))])))
    media = read_media(one_file, MediaSettings(), 16)
    assert media.frames[0].image.size in ((24, 16), (16, 24))
    check(media.facts, media.passages)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_turned_as_pillow_would_turn_it(one_file: Path, turn: int) -> None:
    image = Image.effect_noise((24, 16), 90).convert("RGB")
    image.save(one_file, "PNG", exif=exif({TAG.Orientation: turn}))
    (frame,) = read_media(one_file, MediaSettings(), 16).frames
    with Image.open(one_file) as saved:
        expected = ImageOps.exif_transpose(saved)
    assert frame.image.tobytes() == expected.tobytes() and (frame.width, frame.height) == expected.size


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one") / "one.jpg"


# --- where they go ---


def test_a_raw_file_says_what_its_tags_say(tmp_path: Path) -> None:
    file = tmp_path / "a.dng"
    file.write_bytes(raw_file())
    facts = read_media(file, MediaSettings(), 16).facts
    assert (facts.camera, facts.taken_at) == ("Rebus Tester", at(2021, 5, 4, 12, 34, 56))


def test_the_tags_of_a_file_that_is_a_tiff_at_heart() -> None:
    packet = XMP.format(attributes="", description="A boat at night").encode()
    made = exif({TAG.Model: "X100", 700: packet, TAG.ImageDescription: "Fog"}, TAKEN, LISBON).tobytes()[6:]
    facts, passages = facts_of_raw(io.BytesIO(made))
    assert (facts.camera, facts.taken_at, facts.keywords) == ("X100", at(2019, 7, 14, 10, 30), ("harbour", "night"))
    assert passages == (Passage("A boat at night", "xmp"), Passage("Fog", "exif"))


@given(st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"FUJIFILM"]), st.binary(max_size=200))
def test_no_raw_file_is_too_odd(header: bytes, data: bytes) -> None:
    check(*facts_of_raw(io.BytesIO(header + data)))


def test_what_files_say_is_indexed_and_found_again(tmp_path: Path, encoder_folder: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    packet = XMP.format(attributes='photoshop:City="Lisbon"', description="A boat at night").encode()
    (folder / "a.jpg").write_bytes(picture(xmp=packet, exif=exif({TAG.Model: "X100"}, TAKEN, LISBON)))
    (folder / "b.jpg").write_bytes(picture(exif=exif({TAG.XPKeywords: "HARBOUR".encode("utf-16-le")})))
    (folder / "c.png").write_bytes(picture("PNG"))
    config = config_at(tmp_path / "home", encoder={"model": str(encoder_folder)}, media={"workers": 1})
    index_folders(config, [folder], silent)
    searcher = Searcher(config, Catalog(config))
    for filters, names in (
        (Filters(keyword=("Harbour",)), {"a.jpg", "b.jpg"}),
        (Filters(taken="2019-07", camera="x100", place="lisbon", near="38.7,-9.1,10", source="xmp"), {"a.jpg"}),
        (Filters(source="*"), {"a.jpg"}),
    ):
        query = Query((Term(text="a boat"),), where=filters.where())
        assert {hit.path for hit in searcher.search(query).hits} == names
    (words,) = searcher.search(Query((Term(text="a boat"),), Modality.TEXT, Filters(camera="x100").where())).hits
    assert (words.caption, words.path) == ("A boat at night", "a.jpg")
    searcher.catalog.engine.dispose()


# --- spelling ---


@given(st.text(max_size=200))
def test_any_words_are_a_default_or_not(words: str) -> None:
    assert is_default(words) in (True, False)


def test_looking_for_defaults_takes_no_time() -> None:
    for words in ("a " * 1000, "olympus " * 250, "file written by " * 120, "." * 1999 + "a", "a." * 1000):
        is_default(words)
