"""Caption tables for everything below their folder: JSON lines, CSV, Parquet, and what img2dataset leaves."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import CaptionSettings
from indexer.sidecars import CaptionReader, CaptionText
from tests.folders import found, said, table, texts, touch


def parquet(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=2)


def after_reading(root: Path, *pictures: str) -> CaptionReader:
    """A reader at the end of a scan of some pictures."""
    for picture in pictures:
        touch(root / picture)
    reader, _, _ = found(root, pictures[0])
    for picture in pictures:
        _, folder, file = found(root, picture)
        reader.read(folder, file)
    reader.unmatched()
    return reader


@pytest.mark.parametrize("key", ["image", "file_name", "filename", "file", "path", "IMAGE_PATH"])
@pytest.mark.parametrize("words", ["en", "caption", "captions", "text", "Title"])
def test_every_key_is_understood(tmp_path: Path, key: str, words: str) -> None:
    table(tmp_path, {key: "a.jpg", words: "a boat"})
    touch(tmp_path / "a.jpg")
    assert texts(tmp_path, "a.jpg") == ["a boat"]


@pytest.mark.parametrize(
    "name", ["captions.jsonl", "Captions.JSONL", "metadata.jsonl", "captions.csv", "METADATA.csv", "captions.parquet"]
)
def test_every_kind_of_table_is_read_and_its_rows_add_up(tmp_path: Path, name: str) -> None:
    rows = [("a.jpg", "a boat", "val"), ("b.jpg", "a tree", ""), ("a.jpg", "the boat, at sea", "")]
    if name.lower().endswith(".jsonl"):
        table(tmp_path, *(dict(zip(("file_name", "text", "split"), row, strict=True)) for row in rows), name=name)
    elif name.lower().endswith(".csv"):
        (tmp_path / name).write_text(
            'File_Name,text,split\na.jpg,a boat,val\n\nb.jpg,a tree,\na.jpg,"the boat, at sea",'
        )
    else:
        images, words, splits = map(list, zip(*rows, strict=True))
        parquet(tmp_path / name, file_name=images, text=words, split=splits, other=[b"x"] * 3)
    touch(tmp_path / "sub" / "a.jpg")
    captions = said(tmp_path, "sub/a.jpg")
    source = "captions" + Path(name).suffix.lower()
    assert captions.texts == [CaptionText("a boat", "en", source), CaptionText("the boat, at sea", "en", source)]
    assert captions.split == "val"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_csv_may_be_separated_by_any_of_the_usual_marks(tmp_path: Path, separator: str) -> None:
    lines = ["image", "caption", "latitude", "longitude"], ["a.jpg", "a boat", "48.5", "-4"]
    (tmp_path / "captions.csv").write_text("\ufeff" + "\r\n".join(map(separator.join, lines)), encoding="utf-8")
    touch(tmp_path / "a.jpg")
    captions = said(tmp_path, "a.jpg")
    assert [c.text for c in captions.texts] == ["a boat"] and captions.facts.longitude == -4


def test_only_the_wanted_languages_are_read(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": ["a boat"], "zh": ["船"], "split": "val"})
    touch(tmp_path / "a.jpg")
    assert texts(tmp_path, "a.jpg") == ["a boat"]
    both = said(tmp_path, "a.jpg", languages=("en", "zh"))
    assert [(c.text, c.lang) for c in both.texts] == [("a boat", "en"), ("船", "zh")] and both.split == "val"


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("deep/er/a.jpg", "deep/er/a.jpg"),
        ("./deep//er/a.jpg", "deep/er/a.jpg"),
        ("deep\\er\\a.jpg", "deep/er/a.jpg"),
        ("a.jpg", "deep/er/a.jpg"),
        ("er/a.jpg", "deep/er/a.jpg"),
        ("a", "deep/er/a.jpg"),
        ("er/a", "deep/er/a.jpg"),
        ("/home/someone/photos/deep/er/a.jpg", "deep/er/a.jpg"),
        ("C:\\photos\\deep\\er\\a.jpg", "deep/er/a.jpg"),
        ("https://example.org/deep/er/a.jpg", "deep/er/a.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
    ],
)
def test_a_picture_is_known_by_the_end_of_its_path(tmp_path: Path, name: str, picture: str) -> None:
    table(tmp_path, {"image": name, "en": "a boat"})
    touch(tmp_path / picture)
    touch(tmp_path / "other" / "b.jpg")
    assert texts(tmp_path, picture) == ["a boat"] and texts(tmp_path, "other/b.jpg") == []


def test_the_longest_end_is_preferred_and_doubt_is_no_match(tmp_path: Path) -> None:
    rows = (
        ("a.jpg", "by name"),
        ("er/a.jpg", "by two"),
        ("deep/er/a.jpg", "by path"),
        ("/x/b.jpg", "?"),
        ("/y/b.jpg", "?"),
    )
    table(tmp_path, *({"image": name, "en": words} for name, words in rows))
    for picture in ("a.jpg", "x/er/a.jpg", "deep/er/a.jpg", "b.jpg"):
        touch(tmp_path / picture)
    assert texts(tmp_path, "a.jpg") == ["by name"] and texts(tmp_path, "x/er/a.jpg") == ["by two"]
    assert texts(tmp_path, "deep/er/a.jpg") == ["by path"] and texts(tmp_path, "b.jpg") == []


def test_a_relative_path_of_another_folder_is_not_taken(tmp_path: Path) -> None:
    table(tmp_path, {"image": "train/a.jpg", "en": "a boat"})
    touch(tmp_path / "a.jpg")
    assert texts(tmp_path, "a.jpg") == []


def test_the_nearest_table_comes_first(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": "far"})
    table(tmp_path / "sub", {"image": "a.jpg", "en": "near"})
    touch(tmp_path / "sub" / "deeper" / "a.jpg")
    assert texts(tmp_path, "sub/deeper/a.jpg") == ["near", "far"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", "line 2"),
        ("[1, 2]", "not a JSON object"),
        ('{"en": "nameless"}', "names no picture"),
        ('{"image": "b.jpg", "en": 3}', "neither a string nor a list"),
        ('{"image": "b.jpg", "en": ["x", null]}', "neither a string nor a list"),
        ("[" * 100_000, "line 2"),
        ("\udce9", "not UTF-8"),
        ('{"image": "b.jpg", "split": "holdout"}', "line 2: 'holdout'"),
        ("x" * (17 << 20), "too long a line"),
    ],
)
def test_a_wrong_line_is_told_and_the_others_are_read(tmp_path: Path, line: str, words: str) -> None:
    lines = ['{"image": "a.jpg", "en": "a boat"}', line, '{"image": "a.jpg", "en": "a red boat"}\n']
    (tmp_path / "captions.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    touch(tmp_path / "a.jpg")
    read, folder, file = found(tmp_path, "a.jpg")
    assert [caption.text for caption in read.read(folder, file).texts] == ["a boat", "a red boat"]
    assert words in read.failures["captions.jsonl"].reason and read.could_read(folder, file)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b"b.jpg,a red, boat", "line 3: 3 values under 2 names"),
        (b"b.jpg,caf\xe9", "line 3: not UTF-8"),
        (b",a boat", "line 3: names no picture"),
        (b'b.jpg,"' + b"x" * 140_000 + b'"', "field larger than field limit"),
    ],
)
def test_a_wrong_row_of_csv_is_told_and_the_others_are_read(tmp_path: Path, row: bytes, words: str) -> None:
    (tmp_path / "captions.csv").write_bytes(b"image,caption\na.jpg,a boat\n" + row + b"\na.jpg,a red boat\n")
    touch(tmp_path / "a.jpg")
    read, folder, file = found(tmp_path, "a.jpg")
    assert [caption.text for caption in read.read(folder, file).texts] == ["a boat", "a red boat"]
    assert words in read.failures["captions.csv"].reason and "passed over 1 line; " in str(read.failures)


def test_parquet_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    whole = tmp_path / "whole"
    parquet(whole, image=["a.jpg"], caption=["a boat"])
    data = whole.read_bytes()
    for content, words in ((b"PAR1 no", "damaged"), (data[:-20], "damaged"), (data[:4] + b"\xff" * 20 + data[24:], "")):
        (tmp_path / "captions.parquet").write_bytes(content)
        read, folder, file = found(tmp_path, "a.jpg")
        assert read.read(folder, file).texts == [] and words in read.failures["captions.parquet"].reason
        assert read.could_read(folder, file)
    parquet(tmp_path / "captions.parquet", picture=["a.jpg"], caption=["a boat"])
    read, folder, file = found(tmp_path, "a.jpg")
    assert read.read(folder, file).texts == [] and "names no picture" in read.failures["captions.parquet"].reason


def test_parquet_of_a_billion_equal_rows_is_not_read(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    words = pa.array(["x" * 1000]).dictionary_encode()
    columns = {"image": pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), words.dictionary)}
    parquet(tmp_path / "captions.parquet", **columns, caption=["y"] * 20_000)
    read, folder, file = found(tmp_path, "a.jpg", max_bytes=300_000)
    assert read.read(folder, file).texts == [] and "over the limit" in read.failures["captions.parquet"].reason


def test_bytes_of_parquet_that_are_no_text_cost_one_row(tmp_path: Path) -> None:
    bad = pa.array([b"a boat", b"caf\xe9", b"a red boat"]).view(pa.string())
    parquet(tmp_path / "captions.parquet", image=["a.jpg"] * 3, caption=bad)
    touch(tmp_path / "a.jpg")
    read, folder, file = found(tmp_path, "a.jpg")
    assert [caption.text for caption in read.read(folder, file).texts] == ["a boat", "a red boat"]
    assert "row 2: not UTF-8" in read.failures["captions.parquet"].reason


def test_lists_and_dictionaries_of_parquet_are_read(tmp_path: Path) -> None:
    names = pa.array(["a.jpg", "b.jpg"]).dictionary_encode()
    parquet(tmp_path / "captions.parquet", image=names, captions=[["one", "two"], []], latitude=[1.5, None])
    touch(tmp_path / "a.jpg")
    assert texts(tmp_path, "a.jpg") == ["one", "two"]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_a_metadata_file_of_another_program_is_left_alone(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        parquet(tmp_path / name, temperature=[3.0], wind=[4.0])
    else:
        (tmp_path / name).write_text('{"camera": "x"}\n' if name.endswith("l") else "temperature,wind\n3,4\n")
    assert after_reading(tmp_path, "a.jpg").failures == {}


@pytest.mark.parametrize("name", ["captions", "metadata"])
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("damage", ["noise", "zeros", "half"])
def test_a_damaged_table_is_told_whatever_it_is_called(tmp_path: Path, name: str, ending: str, damage: str) -> None:
    whole = tmp_path / "whole.parquet"
    parquet(whole, image=["a.jpg", "b.jpg"], caption=["a boat", "a tree"])
    data = whole.read_bytes() if ending == "parquet" else b'{"image": "a.jpg", "en": "a boat\xff'
    spoiled = {"noise": np.random.default_rng(0).bytes(4096), "zeros": bytes(4096), "half": data[: len(data) // 2]}
    (tmp_path / f"{name}.{ending}").write_bytes(
        b"\xff" + data if (ending, damage) == ("csv", "half") else spoiled[damage]
    )
    failures = after_reading(tmp_path, "a.jpg").failures
    assert list(failures) == [f"{name}.{ending}"]
    error = failures[f"{name}.{ending}"]
    assert error.stage == "caption" and error.reason and error.hint


def test_a_table_that_is_too_large_says_which_setting_bounds_it(tmp_path: Path) -> None:
    table(tmp_path, {"image": "a.jpg", "en": "a boat"})
    touch(tmp_path / "a.jpg")
    reader, folder, file = found(tmp_path, "a.jpg", max_bytes=10)
    assert reader.read(folder, file).texts == []
    assert "captions.max_bytes" in reader.failures["captions.jsonl"].hint


def test_lines_that_name_no_file_are_told_once_a_table(tmp_path: Path) -> None:
    rows = [{"image": name, "en": "x"} for name in ("a.jpg", "gone/b.jpg", "c.jpg", "sub/d.jpg", "e")]
    table(tmp_path, *rows)
    touch(tmp_path / "sub" / "d.jpg")  # not asked for in this scan
    reason = after_reading(tmp_path, "a.jpg").failures["captions.jsonl"].reason
    assert reason == "3 lines about no file that is here, the first: gone/b.jpg"
    for name in ("gone/b.jpg", "deep/c.jpg", "e.png"):
        touch(tmp_path / name)
    assert after_reading(tmp_path, "a.jpg").failures == {}


def test_what_is_wrong_and_what_is_in_vain_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"image": "gone.jpg", "en": "x"}\n?\n')
    reason = after_reading(tmp_path, "a.jpg").failures["captions.jsonl"].reason
    assert "passed over 1 line; line 2" in reason and "1 line about no file that is here, the first: gone.jpg" in reason


def test_more_tables_than_are_kept_open_are_all_read(tmp_path: Path) -> None:
    pictures = [f"{number}/a.jpg" for number in range(40)]
    for picture in pictures:
        table((tmp_path / picture).parent, {"image": "a.jpg", "en": picture}, {"image": "gone.jpg"})
    reader = after_reading(tmp_path, *pictures)
    assert len(reader.failures) == len(reader.looked_at) == 40


def test_what_img2dataset_writes_beside_a_folder_is_read_by_key(tmp_path: Path) -> None:
    parquet(
        tmp_path / "out" / "00000.parquet",
        key=["000000000", "000000001", "000000002"],
        caption=["a boat", "a tree", "a house"],
        url=["https://example.org/1"] * 3,
        status=["success", "success", "failed_to_download"],
        width=[1, 2, None],
    )
    (tmp_path / "out" / "00000_stats.json").write_text("{}")
    touch(tmp_path / "out" / "00001" / "000000000.jpg")
    reader = after_reading(tmp_path, "out/00000/000000000.jpg", "out/00000/000000001.jpg")
    assert said(tmp_path, "out/00000/000000001.jpg").texts == [CaptionText("a tree", "en", "img2dataset")]
    assert texts(tmp_path, "out/00001/000000000.jpg") == [] and reader.failures == {}


def test_what_clip_retrieval_writes_is_matched_by_the_end_of_a_path(tmp_path: Path) -> None:
    paths = ["/data/photos/trip/a.jpg", "/data/photos/trip/b.jpg"]
    parquet(tmp_path / "metadata" / "metadata_0.parquet", image_path=paths, caption=["a boat", "a tree"])
    touch(tmp_path / "photos" / "trip" / "a.jpg")
    touch(tmp_path / "trip" / "b.jpg")
    assert texts(tmp_path, "photos/trip/a.jpg") == ["a boat"] and texts(tmp_path, "trip/b.jpg") == ["a tree"]


@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=20))
def test_whatever_a_table_says_comes_out_as_clean_lines(
    tmp_path_factory: pytest.TempPathFactory, words: list[str], split: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    table(folder, {"image": "a.jpg", "en": words, "split": split})
    touch(folder / "a.jpg")
    captions = said(folder, "a.jpg")
    for caption in captions.texts:
        assert caption.text and caption.text.isprintable() and caption.text == " ".join(caption.text.split())
        caption.text.encode("utf-8")
    assert captions.split is None or captions.split.isprintable()


@given(name=st.sampled_from(["captions.jsonl", "captions.csv", "captions.parquet"]), data=st.binary(max_size=300))
def test_whatever_bytes_a_table_holds_the_outcome_is_clean_or_told(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / name).write_bytes(data)
    reader = after_reading(folder, "a.jpg")
    assert all(error.reason.isprintable() and error.hint for error in reader.failures.values())


def test_what_a_dictionary_unpacks_to_is_counted(tmp_path: Path) -> None:
    few = pa.array(["a" * 120_000]).dictionary_encode()
    rows = 100_000
    names = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["a.jpg"]))
    words = pa.DictionaryArray.from_arrays(pa.array([0] * rows), few.dictionary)
    pq.write_table(pa.table({"file_name": names, "text": words}), tmp_path / "captions.parquet")
    assert (tmp_path / "captions.parquet").stat().st_size < 100_000
    touch(tmp_path / "a.jpg")
    settings = CaptionSettings(max_bytes=80 * 2**20)
    _, folder, file = found(tmp_path, "a.jpg")
    reader = CaptionReader(tmp_path, settings)
    said = reader.read(folder, file)
    assert [text.text for text in said.texts] == ["a" * settings.max_characters]
    assert "its first 512 rows are used" in reader.failures["captions.parquet"].reason


def test_rows_without_words_count_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file_name": ["a.jpg"] * 2000, "text": [""] * 2000}), tmp_path / "captions.parquet")
    touch(tmp_path / "a.jpg")
    _, folder, file = found(tmp_path, "a.jpg")
    reader = CaptionReader(tmp_path, CaptionSettings(max_bytes=100_000))
    reader.read(folder, file)
    assert "once it is unpacked" in reader.failures["captions.parquet"].reason
