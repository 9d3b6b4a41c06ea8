"""The sidecars of one file: words, JSON and XMP beside it, in every form that is read, and in forms that are wrong."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import CaptionSettings
from indexer.sidecars import Captions, CaptionText
from tests.folders import found, said, stamp, table, texts, touch
from tests.test_xmp import FULL, packet


def beside(folder: Path, name: str, content: object) -> None:
    """A sidecar, and the picture a.jpg."""
    touch(folder / "a.jpg")
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def test_a_text_file_holds_a_caption_a_line_and_comes_first(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": ["from the table", "one"]})
    beside(tmp_path, "a.txt", "\ufeffone\n\n  two\t words \r\n")
    assert texts(tmp_path, "a.jpg") == ["one", "two words", "from the table"]
    assert said(tmp_path, "a.jpg").texts[0] == CaptionText("one", "en", "txt")


@pytest.mark.parametrize("name", ["a.txt", "a.TXT", "a.jpg.txt", "a.jpg.Txt"])
def test_a_text_file_may_be_called_after_the_whole_name_in_any_case(tmp_path: Path, name: str) -> None:
    beside(tmp_path, name, "a boat")
    touch(tmp_path / "ab.jpg")
    assert texts(tmp_path, "a.jpg") == ["a boat"] and texts(tmp_path, "ab.jpg") == []


@pytest.mark.parametrize(
    ("content", "captions"),
    [
        ({"caption": "a boat"}, ["a boat"]),
        ({"Title": "Boats", "Description": "a boat\nat sea", "tags": ["x"]}, ["Boats", "a boat at sea"]),
        ({"captions": ["one", "two"], "text": "two"}, ["one", "two"]),
        ({"caption": {"en-GB": "a boat", "de": "ein Boot"}}, ["a boat"]),
        ({"en": "a boat", "zh": "船"}, ["a boat"]),
        (["one", "two"], ["one", "two"]),
        ([{"SourceFile": "a.jpg", "Title": "Boats"}], ["Boats"]),
        ({"title": "IMG_1.JPG", "description": ""}, []),
        ({"title": 3, "description": {"deep": [1]}, "alt": "a boat"}, ["a boat"]),
        ({"tags": ["boat", "sea", "boat"]}, ["boat, sea"]),
        ({"keywords": "boat; red sea"}, ["boat, red sea"]),
        ({"caption": None}, []),
        ({}, []),
    ],
)
def test_json_of_many_programs_is_read(tmp_path: Path, content: object, captions: list[str]) -> None:
    beside(tmp_path, "a.json", content)
    assert texts(tmp_path, "a.jpg") == captions


def test_captions_are_noted_with_their_language(tmp_path: Path) -> None:
    beside(tmp_path, "a.json", {"caption": {"en": "a boat", "zh_CN": "船", "fr": "un bateau"}, "zh": "船"})
    both = said(tmp_path, "a.jpg", languages=("en", "zh"))
    assert [(c.text, c.lang, c.source) for c in both.texts] == [("船", "zh", "json"), ("a boat", "en", "json")]


def test_what_img2dataset_writes_is_noted_as_its_own(tmp_path: Path) -> None:
    row = {"caption": "a boat", "url": "https://example.org/a.jpg", "key": "a", "status": "success", "width": 256}
    beside(tmp_path, "a.json", row)
    (tmp_path / "a.txt").write_text("a boat")
    assert said(tmp_path, "a.jpg").texts == [CaptionText("a boat", "en", "txt")]
    (tmp_path / "a.txt").unlink()
    assert said(tmp_path, "a.jpg").texts == [CaptionText("a boat", "en", "img2dataset")]


TAKEOUT = {
    "title": "a.jpg",
    "description": "Low tide",
    "photoTakenTime": {"timestamp": "1563093000", "formatted": "14 Jul 2019, 08:30:00 UTC"},
    "geoData": {"latitude": 0.0, "longitude": 0.0, "altitude": 0.0},
    "geoDataExif": {"latitude": 48.5, "longitude": -4.25, "altitude": 0.0},
    "people": [{"name": "Maria"}, {"name": " "}, 3],
}


@pytest.mark.parametrize("name", ["a.jpg.json", "a.jpg.supplemental-metadata.json", "a.jpg.supplemental-me.json"])
def test_google_takeout_is_read(tmp_path: Path, name: str) -> None:
    beside(tmp_path, name, TAKEOUT)
    captions = said(tmp_path, "a.jpg")
    assert [c.text for c in captions.texts] == ["Low tide"] and captions.keywords == ["Maria"]
    assert (captions.facts.taken_at, captions.facts.title) == (1563093000, None)
    assert (captions.facts.latitude, captions.facts.longitude) == (48.5, -4.25)


@pytest.mark.parametrize(
    ("picture", "sidecar"),
    [
        ("a(1).jpg", "a.jpg(1).json"),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("a-edited.jpg", "a.jpg.json"),
        ("x" * 50 + ".jpg", "x" * 46 + ".json"),
        ("a.mp4.jpg", "a.mp4.info.json"),
    ],
)
def test_google_takeout_and_others_bend_names(tmp_path: Path, picture: str, sidecar: str) -> None:
    (tmp_path / sidecar).write_text('{"description": "Low tide"}')
    touch(tmp_path / picture)
    assert texts(tmp_path, picture) == ["Low tide"]


def test_a_copy_is_not_described_by_the_sidecar_of_its_original(tmp_path: Path) -> None:
    beside(tmp_path, "a.jpg.json", TAKEOUT)
    touch(tmp_path / "a(1).jpg")
    assert texts(tmp_path, "a(1).jpg") == []


@pytest.mark.parametrize("name", ["a.xmp", "a.jpg.xmp", "a.XMP"])
def test_xmp_beside_a_picture_is_read(tmp_path: Path, name: str) -> None:
    beside(tmp_path, name, FULL)
    captions = said(tmp_path, "a.jpg", languages=("en", "de"))
    assert [(c.text, c.lang, c.source) for c in captions.texts] == [
        ("Low tide", "en", "xmp sidecar"),
        ("A red boat on the sand", "en", "xmp sidecar"),
        ("Ein rotes Boot", "de", "xmp sidecar"),
    ]
    assert captions.keywords == ["boat", "beach", "Places", "Brittany", "Maria"]
    assert captions.facts.place == "Roscoff, France" and captions.facts.camera == "Canon EOS 5D"
    assert "Ein rotes Boot" not in texts(tmp_path, "a.jpg")


def test_sidecars_add_up_and_the_first_fact_counts(tmp_path: Path) -> None:
    beside(tmp_path, "a.xmp", FULL)
    row = {
        "caption": "a boat",
        "tags": ["sea", "boat"],
        "camera": "other",
        "latitude": 1,
        "longitude": 2,
        "split": "dev",
    }
    (tmp_path / "a.json").write_text(json.dumps(row))
    captions = said(tmp_path, "a.jpg")
    assert captions.keywords[:2] == ["boat", "beach"] and captions.keywords[-1] == "sea" and captions.split == "val"
    assert captions.facts.camera == "Canon EOS 5D" and captions.facts.latitude == pytest.approx(48.591667)
    assert [c.source for c in captions.texts] == ["xmp sidecar", "xmp sidecar", "json"]


def test_keywords_are_a_caption_when_there_are_no_words(tmp_path: Path) -> None:
    only = "<dc:subject><rdf:Bag><rdf:li>boat</rdf:li><rdf:li>red</rdf:li></rdf:Bag></dc:subject>"
    beside(tmp_path, "a.xmp", packet(only))
    assert said(tmp_path, "a.jpg").texts == [CaptionText("boat, red", "en", "xmp sidecar")]
    (tmp_path / "a.txt").write_text("a boat")
    captions = said(tmp_path, "a.jpg")
    assert captions.texts == [CaptionText("a boat", "en", "txt")] and captions.keywords == ["boat", "red"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"caf\xe9", "not UTF-8"),
        ("a.json", b"{", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b"\xff\xfe\x00", "not JSON"),
        ("a.json", b"1" * 5000, "not JSON"),
        ("a.json", {"caption": 3}, "neither a string nor a list"),
        ("a.json", {"caption": [["a"]]}, "neither a string nor a list"),
        ("a.json", [1], "neither a JSON object nor a list of captions"),
        ("a.json", {"split": "holdout"}, "'holdout' is none of train, val and test"),
        ("a.xmp", b"<a", "damaged XMP"),
        ("a.txt", b" " * (17 << 20), "over the limit"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, content: object, words: str) -> None:
    beside(tmp_path, name, content)
    read, folder, file = found(tmp_path, "a.jpg")
    assert read.read(folder, file).texts == [] and read.could_read(folder, file)
    assert words in read.failures[name].reason and read.failures[name].stage == "caption"


def test_what_is_not_there_to_read_is_tried_again(tmp_path: Path) -> None:
    beside(tmp_path, "a.txt", "a boat")
    read, folder, file = found(tmp_path, "a.jpg")
    (tmp_path / "a.txt").unlink()
    assert read.read(folder, file) == Captions() and not read.could_read(folder, file)
    assert read.failures["a.txt"].stage == "read"


def test_an_empty_sidecar_is_no_failure(tmp_path: Path) -> None:
    for name in ("a.txt", "a.json", "a.xmp"):
        beside(tmp_path, name, b"")
    read, folder, file = found(tmp_path, "a.jpg")
    assert read.read(folder, file) == Captions() and not read.failures


def test_limits_hold(tmp_path: Path) -> None:
    beside(tmp_path, "a.json", [f"{n} " + "x" * 50 for n in range(9)])
    assert texts(tmp_path, "a.jpg", max_per_item=2, max_characters=4) == ["0 xx", "1 xx"]


def test_the_stamp_changes_with_any_source(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "a.jpg")
    assert stamp(tmp_path, "sub/a.jpg") == ""
    stamps = set()
    for name in ("sub/a.txt", "sub/a.jpg.xmp", "sub/a.json", "captions.jsonl", "sub/captions.csv", "metadata.csv"):
        (tmp_path / name).write_text("x")
        stamps.add(stamp(tmp_path, "sub/a.jpg"))
    (tmp_path / "sub" / "b.txt").write_text("of another")
    assert len(stamps) == 6 and "" not in stamps and stamp(tmp_path, "sub/a.jpg") in stamps


@given(name=st.sampled_from(["a.txt", "a.json", "a.xmp"]), data=st.binary(max_size=300))
def test_whatever_bytes_a_sidecar_holds_the_outcome_is_clean_or_told(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    beside(folder, name, data)
    check_clean(folder, "a.jpg")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["en", "caption", "title", "description", "tags", "people", "split", "photoTakenTime", "geoData", "latitude",
        "longitude", "date", "taken_at", "camera", "make", "city", "timestamp", "key", "url", "status"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), json_values | st.fixed_dictionaries({"timestamp": json_values})))
def test_whatever_json_holds_the_outcome_is_clean_or_told(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    beside(folder, "a.json", row)
    table(folder, {"image": "a.jpg", **row})
    check_clean(folder, "a.jpg")


def check_clean(folder: Path, picture: str) -> None:
    read, within, file = found(folder, picture)
    captions = read.read(within, file)
    read.unmatched()
    facts = captions.facts
    words = (
        [c.text for c in captions.texts] + captions.keywords + [facts.camera, facts.place, facts.title, captions.split]
    )
    for line in words:
        if line is not None:
            assert line and line.isprintable() and line == " ".join(line.split())
            line.encode("utf-8")
    assert facts.taken_at is None or abs(facts.taken_at) < 1e12
    assert (facts.latitude is None) == (facts.longitude is None)
    assert all(error.reason and error.hint for error in read.failures.values())
    assert len(captions.texts) <= CaptionSettings().max_per_item
