"""Captions beside pictures, in every form that is read, and in forms that are wrong."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import CaptionSettings
from indexer.sidecars import CaptionReader, CaptionText, FoundFile


def reader(folder: Path, **settings: object) -> CaptionReader:
    paths = [p for p in folder.rglob("*") if p.suffix in (".txt", ".jsonl")]
    files = [FoundFile(p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    return CaptionReader(folder, {file.path: file for file in files}, CaptionSettings(**settings))  # type: ignore[arg-type]


def table(folder: Path, *rows: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def texts(folder: Path, picture: str, **settings: object) -> list[str]:
    return [caption.text for caption in reader(folder, **settings).read(picture).texts]


@pytest.mark.parametrize("key", ["image", "file_name", "filename", "file", "path"])
@pytest.mark.parametrize("words", ["en", "caption", "captions", "text"])
def test_every_key_is_understood(tmp_path: Path, key: str, words: str) -> None:
    table(tmp_path, {key: "a.jpg", words: "a boat"})
    assert texts(tmp_path, "a.jpg") == ["a boat"]


def test_a_bare_name_is_found_below_the_table_and_a_path_is_preferred(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": "by name"}, {"image": "deep/er/a.jpg", "en": "by path"})
    assert texts(tmp_path, "images/a.jpg") == ["by name"]
    assert texts(tmp_path, "deep/er/a.jpg") == ["by path"]


def test_only_the_wanted_languages_are_read(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": ["a boat"], "zh": ["船"], "split": "val"})
    assert texts(tmp_path, "a.jpg") == ["a boat"]
    both = reader(tmp_path, languages=("en", "zh")).read("a.jpg")
    assert [(c.text, c.lang) for c in both.texts] == [("a boat", "en"), ("船", "zh")] and both.split == "val"


def test_a_text_file_holds_a_caption_a_line_and_comes_first(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": ["from the table", "one"]})
    (tmp_path / "a.txt").write_text("\ufeffone\n\n  two\t words \r\n", encoding="utf-8")
    assert texts(tmp_path, "a.jpg") == ["one", "two words", "from the table", "one"]
    assert reader(tmp_path).read("a.jpg").texts[0] == CaptionText("one", "en", "txt")


def test_the_stamp_changes_with_any_source(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": "x"})
    table(tmp_path / "sub", {"image": "a.jpg", "en": "y"})
    stamps = {reader(tmp_path).stamp("sub/a.jpg")}
    (tmp_path / "sub" / "a.txt").write_text("z")
    stamps.add(reader(tmp_path).stamp("sub/a.jpg"))
    table(tmp_path, {"image": "a.jpg", "en": "longer"})
    stamps.add(reader(tmp_path).stamp("sub/a.jpg"))
    assert len(stamps) == 3 and "" not in stamps and reader(tmp_path).stamp("sub/b/c.jpg") != ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", "line 2"),
        ("[1, 2]", "not a JSON object"),
        ('{"en": "nameless"}', "names no picture"),
        ('{"image": "b.jpg", "en": 3}', "neither a string nor a list"),
        ('{"image": "b.jpg", "en": ["x", null]}', "neither a string nor a list"),
        ("[" * 100_000, "line 2"),
    ],
)
def test_a_wrong_line_is_told_and_the_others_are_read(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "captions.jsonl").write_text('{"image": "a.jpg", "en": "a boat"}\n' + line + "\n")
    read = reader(tmp_path)
    assert [caption.text for caption in read.read("a.jpg").texts] == ["a boat"]
    assert words in read.failures["captions.jsonl"].reason


def test_bytes_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    read = reader(tmp_path)
    assert read.read("a.jpg").texts == [] and "not UTF-8" in read.failures["a.txt"].reason


def test_limits_hold(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": [f"{n} " + "x" * 50 for n in range(9)]})
    assert texts(tmp_path, "a.jpg", max_per_item=2, max_characters=4) == ["0 xx", "1 xx"]


@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=20))
def test_whatever_a_table_says_comes_out_as_clean_lines(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], split: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table(folder, {"image": "a.jpg", "en": words, "split": split})
    read = reader(folder).read("a.jpg")
    for caption in read.texts:
        assert caption.text and caption.text.isprintable() and caption.text == " ".join(caption.text.split())
        caption.text.encode("utf-8")
    assert read.split is None or read.split.isprintable()
