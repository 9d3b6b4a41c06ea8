"""Renames onto paths that hold files: identity follows the content, as far as both contents are known."""

import json
import os
import shutil
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine import marks
from engine.catalog import Catalog, Item
from engine.config import Config
from engine.marks import Asked
from indexer import scan
from indexer.dry_run import preview
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, silent
from tests.test_copies import index, marked
from tests.test_followed import nothing_to_do, said_of
from tests.test_moves import ids, outcome

_times = count(10**18)  # no two files are written at once


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))  # without an encoder, whose loading would take most of the time


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    """1.jpg to 4.jpg, of different contents; the last two alike in size."""
    folder = draw_folder(tmp_path / "media", 1)
    for number, color in enumerate(("red", "blue", "green"), 1):
        put(folder / f"{number}.jpg", color, "tree", number)
    (folder / "4.jpg").write_bytes((folder / "3.jpg").read_bytes()[:-1] + b"x")
    os.utime(folder / "4.jpg", ns=(1, next(_times)))
    index(config, folder)
    return folder


def put(path: Path, color: str, shape: str, offset: int) -> None:
    draw(path, color, shape, offset)
    os.utime(path, ns=(1, next(_times)))


def rename(media: Path, names: dict[str, str]) -> None:
    """All at once: each file to the other's name."""
    for name in names:
        (media / name).rename(media / f"{name} away")
    for name, new in names.items():
        (media / new).parent.mkdir(exist_ok=True)
        (media / f"{name} away").rename(media / new)


@pytest.mark.parametrize("most", [4096, 1])
def test_files_that_swapped_their_names_keep_their_ids_and_marks(
    config: Config, media: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Also where they are decided about one by one."""
    monkeypatch.setattr(scan, "_CHUNKS", (1, most))
    before = ids(config)
    marks.put(Catalog(config), Asked("a tree"), [before["1.jpg"]], True)
    (media / "1.txt").write_text("of the name")
    rename(media, {"1.jpg": "2.jpg", "2.jpg": "1.jpg", "3.jpg": "4.jpg", "4.jpg": "3.jpg"})
    report = index(config, media)
    assert outcome(report)[:2] == (4, 0) and report.changed == 0
    swapped = {"1.jpg": "2.jpg", "2.jpg": "1.jpg", "3.jpg": "4.jpg", "4.jpg": "3.jpg"}
    assert ids(config) == {swapped.get(path, path): item for path, item in before.items()}
    assert marked(config) == [before["1.jpg"]]
    assert said_of(config, "1.jpg") == ["of the name"] and said_of(config, "2.jpg") == []
    assert nothing_to_do(config, media)


def test_names_that_went_round_and_over_folders_are_followed(config: Config, media: Path) -> None:
    put(media / "new" / "1.jpg", "yellow", "tree", 5)
    index(config, media)
    before = ids(config)
    rename(media, {"1.jpg": "2.jpg", "2.jpg": "new/1.jpg", "new/1.jpg": "1.jpg"})
    assert outcome(index(config, media)) == (3, 0, 0)
    after = ids(config)
    assert [after[name] for name in ("2.jpg", "new/1.jpg", "1.jpg")] == [
        before[name] for name in ("1.jpg", "2.jpg", "new/1.jpg")
    ]
    assert nothing_to_do(config, media)


@pytest.mark.parametrize("place", ["moved.jpg", "9.jpg"])
def test_a_file_that_went_to_a_folder_compared_later_keeps_its_id_though_another_took_its_name(
    config: Config, media: Path, tmp_path: Path, place: str
) -> None:
    """Also where it took the name of a third."""
    other = draw_folder(tmp_path / "other", 1)
    put(other / "9.jpg", "yellow", "boat", 6)
    index(config, other)
    item = ids(config)["1.jpg"]
    (media / "1.jpg").rename(other / place)
    put(media / "1.jpg", "yellow", "tree", 7)
    foreseen = preview(config, [media, other])
    assert index_folders(config, [media, other], silent).scans == foreseen
    after = ids(config)
    assert after[place] == item < after["1.jpg"]
    assert nothing_to_do(config, media, other)


def test_a_file_that_returns_to_its_place_is_what_lay_there_and_no_copy_that_left_before(
    config: Config, media: Path, tmp_path: Path
) -> None:
    item = ids(config)["1.jpg"]
    (media / "copies").mkdir()
    shutil.copy2(media / "1.jpg", media / "copies" / "1.jpg")
    index(config, media)
    (media / "copies" / "1.jpg").unlink()
    index(config, media)
    (media / "1.jpg").rename(tmp_path / "kept.jpg")
    index(config, media)
    (tmp_path / "kept.jpg").rename(media / "1.jpg")
    assert outcome(index(config, media)) == (1, 0, 0)
    assert ids(config)["1.jpg"] == item


@pytest.mark.parametrize("place", ["0.jpg", "moved.jpg", "later/a.jpg"])
def test_another_file_at_the_old_path_is_a_new_item(config: Config, media: Path, place: str) -> None:
    before = ids(config)
    marks.put(Catalog(config), Asked("a tree"), [before["1.jpg"]], True)
    rename(media, {"1.jpg": place})
    put(media / "1.jpg", "yellow", "boat", 9)
    report = index(config, media)
    assert outcome(report) == (1, 1, 0) and report.changed == 0
    after = ids(config)
    assert after[place] == before["1.jpg"] and after["1.jpg"] not in before.values()
    assert marked(config) == [before["1.jpg"]] and nothing_to_do(config, media)


def test_a_row_of_a_table_stays_with_the_name(config: Config, media: Path) -> None:
    (media / "captions.jsonl").write_text(json.dumps({"image": "1.jpg", "en": ["the first"]}))
    index(config, media)
    rename(media, {"1.jpg": "moved.jpg"})
    put(media / "1.jpg", "yellow", "boat", 9)
    index(config, media)
    assert said_of(config, "1.jpg") == ["the first"] and said_of(config, "moved.jpg") == []
    assert nothing_to_do(config, media)


def test_a_number_that_was_put_in_or_taken_out_moves_all_that_follow(config: Config, media: Path) -> None:
    before = ids(config)
    rename(media, {"1.jpg": "2.jpg", "2.jpg": "3.jpg", "3.jpg": "4.jpg", "4.jpg": "5.jpg"})
    put(media / "1.jpg", "yellow", "boat", 9)
    assert outcome(index(config, media)) == (4, 1, 0)
    after = ids(config)
    assert [after[f"{number + 1}.jpg"] for number in range(1, 5)] == [before[f"{n}.jpg"] for n in range(1, 5)]
    (media / "2.jpg").unlink()
    rename(media, {"3.jpg": "2.jpg", "4.jpg": "3.jpg", "5.jpg": "4.jpg"})
    assert outcome(index(config, media)) == (3, 0, 1)
    last = ids(config)
    assert [last[f"{number}.jpg"] for number in (2, 3, 4)] == [before[f"{number}.jpg"] for number in (2, 3, 4)]
    assert last["1.jpg"] == after["1.jpg"] and nothing_to_do(config, media)


def test_what_was_overwritten_by_a_rename_is_gone_until_it_is_put_back(config: Config, media: Path) -> None:
    before = ids(config)
    shutil.copy2(media / "1.jpg", media.parent / "kept.jpg")
    (media / "2.jpg").replace(media / "1.jpg")
    assert outcome(index(config, media)) == (1, 0, 1)
    assert ids(config)["1.jpg"] == before["2.jpg"] and "2.jpg" not in ids(config)
    (media / "1.jpg").rename(media / "2.jpg")
    (media.parent / "kept.jpg").rename(media / "1.jpg")
    assert outcome(index(config, media)) == (2, 0, 0) and ids(config) == before


@pytest.mark.parametrize("place", ["0.jpg", "moved.jpg", "2.jpg"])
def test_a_move_that_changes_the_time_is_followed_though_another_file_took_the_name(
    config: Config, media: Path, place: str
) -> None:
    """As copy tools and sync clients move, and as a copy is kept of a file that is edited."""
    item = ids(config)["1.jpg"]
    rename(media, {"1.jpg": place})
    os.utime(media / place, ns=(1, next(_times)))
    put(media / "1.jpg", "yellow", "boat", 9)
    report = index(config, media)
    assert outcome(report)[:2] == (1, 1) and report.changed == 0
    assert ids(config)[place] == item and nothing_to_do(config, media)


def test_of_two_copies_the_one_with_the_time_is_what_moved(config: Config, media: Path) -> None:
    item = ids(config)["1.jpg"]
    shutil.copyfile(media / "1.jpg", media / "0.jpg")
    rename(media, {"1.jpg": "moved.jpg"})
    put(media / "1.jpg", "yellow", "boat", 9)
    assert outcome(index(config, media)) == (1, 2, 0) and ids(config)["moved.jpg"] == item


def test_what_is_there_still_is_no_move(config: Config, media: Path) -> None:
    """Of a file that was copied over another, and of one that was only touched."""
    before = ids(config)
    shutil.copy2(media / "3.jpg", media / "2.jpg")  # over another: the one that it is a copy of lies there still
    os.utime(media / "4.jpg", ns=(1, next(_times)))
    report = index(config, media)
    assert outcome(report) == (0, 0, 0) and report.changed == 1
    assert ids(config) == before and nothing_to_do(config, media)


def test_an_item_whose_file_was_replaced_is_found_again_by_a_later_scan_too(config: Config, media: Path) -> None:
    """As a watch compares folders one after another: round three of them."""
    for name in ("a", "b", "c"):
        put(media / name / "x.jpg", "yellow", "tree", ord(name))
    index(config, media)
    before = ids(config)
    rename(media, {"a/x.jpg": "b/x.jpg", "b/x.jpg": "c/x.jpg", "c/x.jpg": "a/x.jpg"})
    for name in ("a", "b", "c"):
        index(config, media / name)
    after = ids(config)
    assert [after[f"{name}/x.jpg"] for name in ("b", "c", "a")] == [before[f"{name}/x.jpg"] for name in ("a", "b", "c")]
    with Catalog(config).session() as session:
        assert session.scalar(sa.select(sa.func.count()).where(Item.removed_at.is_not(None))) == 0


def test_what_moved_between_folders_that_are_compared_by_themselves_is_followed(config: Config, media: Path) -> None:
    """As a watch does."""
    put(media / "b" / "x.jpg", "yellow", "tree", 5)
    index(config, media)
    before = ids(config)
    rename(media, {"1.jpg": "b/1.jpg"})
    put(media / "1.jpg", "yellow", "boat", 9)
    report = index_folders(config, [media, media / "b"], silent, shallow=True)
    assert [outcome(scan) for scan in report.scans] == [(0, 1, 0), (1, 0, 0)]
    assert ids(config)["b/1.jpg"] == before["1.jpg"] and nothing_to_do(config, media)
