"""Listing files that are alike: what they take, which to keep, and what is no duplicate."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import rebus
from engine.catalog import Item
from engine.duplicates import Alike, find_duplicates
from tests.conftest import config_at
from tests.shelves import Shelf

ONE = (1.0, 0.0)
DAY = 86_400 * 10**9
HASH = "0f0f33cc5a5a9669"


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(config_at(tmp_path / "home"), 2)
    yield shelf
    shelf.close()


def put(shelf: Shelf, path: str, size: int, content: str | None = None, **values: object) -> int:
    (item,) = shelf.add(Item(path=path, size=size, content_hash=content, **values), vectors=[ONE])
    return item


def names(alike: Alike) -> list[str]:
    return [Path(copy.path).name for copy in alike.copies]


def test_the_biggest_saving_comes_first_and_the_best_file_of_each(shelf: Shelf) -> None:
    for name, size, side, day in (("small.jpg", 10, 100, 3), ("large.jpg", 90, 400, 5), ("old.jpg", 40, 200, 1)):
        put(shelf, name, size, name, phash=HASH, width=side, height=side, mtime_ns=day * DAY)
    for name, day in (("b.jpg", 9), ("a.jpg", 2)):
        put(shelf, name, 60, "same", width=300, height=300, mtime_ns=day * DAY)
    put(shelf, "alone.jpg", 10**9, "alone", width=9, height=9)
    shelf.group()
    found = find_duplicates(shelf.catalog)
    assert [names(alike) for alike in found.listed] == [["a.jpg", "b.jpg"], ["large.jpg", "old.jpg", "small.jpg"]]
    assert [(alike.exact, alike.saving) for alike in found.listed] == [(True, 60), (False, 50)]
    assert (found.count, found.saving) == (2, 110)
    near = found.listed[1]
    assert near.oldest == near.copies[1].id and near.copies[0].modified == 5 * 86_400
    assert (near.copies[0].path, near.copies[0].width) == ("/media/large.jpg", 400)
    assert [names(alike) for alike in find_duplicates(shelf.catalog, top=1).listed] == [["a.jpg", "b.jpg"]]
    assert [names(alike) for alike in find_duplicates(shelf.catalog, exact=True).listed] == [["a.jpg", "b.jpg"]]


def test_a_page_in_common_makes_no_duplicate_but_the_same_document_does(shelf: Shelf) -> None:
    files = [put(shelf, f"{name}.tif", 70, content) for name, content in (("a", "x"), ("b", "x"), ("c", "y"))]
    for file in files:
        put(shelf, "page", 70, "page", parent_id=file, position=1)
    shelf.change(files, group_id=files[0])
    (alike,) = find_duplicates(shelf.catalog).listed
    assert (names(alike), alike.saving, alike.exact) == (["a.tif", "b.tif"], 70, True)


def test_files_of_any_kind_are_listed_by_content_and_captions_never(shelf: Shelf) -> None:
    songs = [put(shelf, f"{name}.mp3", 500, "song", modality="audio") for name in "ab"]
    for song in songs:
        put(shelf, "x.txt", 1, "song", modality="text", parent_id=song)
    put(shelf, "gone.mp3", 500, "song", modality="audio", removed_at=1.0)
    shelf.group()
    for exact in (False, True):
        (alike,) = find_duplicates(shelf.catalog, exact=exact).listed
        assert names(alike) == ["a.mp3", "b.mp3"]


def test_nothing_alike_is_an_empty_list(shelf: Shelf) -> None:
    put(shelf, "a.jpg", 5), put(shelf, "b.jpg", 5)
    found = find_duplicates(shelf.catalog)
    assert (found.listed, found.count, found.saving) == ((), 0, 0)


# --- the command ---


@pytest.fixture
def kept(shelf: Shelf) -> Shelf:
    for name, size in (("first.jpg", 3_000_000), ("copy.jpg", 2_000_000)):
        put(shelf, name, size, name, phash=HASH, width=640, height=480, mtime_ns=DAY)
    for name in ("1.png", "2.png"):
        put(shelf, name, 500_000, "same")
    shelf.group()
    return shelf


def run(shelf: Shelf, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    rebus.main(["--home", str(shelf.config.home), "duplicates", *arguments])
    return capsys.readouterr().out


def test_the_command_lists_what_to_keep(kept: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    lines = run(kept, capsys).splitlines()
    assert lines[0] == "2 alike, 2.0 MB could be saved"
    assert lines[1].split() == "keep 3.0 MB 640 × 480 1970-01-02, oldest /media/first.jpg".split()
    assert lines[2].split() == "2.0 MB 640 × 480 1970-01-02 /media/copy.jpg".split()
    assert lines[4] == "2 of the same content, 500 kB could be saved"
    assert lines[-1] == "2 groups of files alike; 2.5 MB could be saved in all."


def test_the_command_prints_paths_and_json(kept: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(kept, capsys, "--paths", "--top", "1") == "/media/first.jpg\n/media/copy.jpg\n\n"
    assert run(kept, capsys, "--paths", "--exact") == "/media/1.png\n/media/2.png\n\n"
    facts = json.loads(run(kept, capsys, "--json", "--top", "1"))
    assert (facts["count"], facts["saving"], len(facts["groups"])) == (2, 2_500_000, 1)
    assert set(facts["groups"][0]) == {"copies", "exact", "oldest", "saving"}
    assert set(facts["groups"][0]["copies"][0]) == {"id", "path", "bytes", "width", "height", "modified"}
