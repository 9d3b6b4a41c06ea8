"""Files that moved in a library that never read one: there is no hash, and ids and captions are kept all the same."""

import dataclasses
import os
import shutil
import sys
import tarfile
from pathlib import Path
from types import FrameType

import pytest
import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Item
from engine.config import Config
from indexer import moves
from indexer.library import index_folders
from indexer.scan import ScanReport
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, silent


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))  # no encoder


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "media", 20)
    index(config, folder)
    return folder


def index(config: Config, *folders: Path) -> ScanReport:
    """Index; what came of all folders together."""
    scans = index_folders(config, folders, silent).scans
    names = "found", "added", "changed", "renamed", "removed"
    total = ScanReport(**{name: sum(getattr(scan, name) for scan in scans) for name in names})
    total.notes = [note for scan in scans for note in scan.notes]
    return total


def outcome(report: ScanReport) -> tuple[int, int, int]:
    return report.renamed, report.added, report.removed


def ids(config: Config) -> dict[str, int]:
    """Present files by path."""
    with Catalog(config).session() as session:
        query = sa.select(Item.path, Item.id).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        return dict(session.execute(query).tuples().all())


def captions(config: Config) -> dict[int, str]:
    """Words of present captions by their ids."""
    with Catalog(config).session() as session:
        query = sa.select(Caption.id, Caption.text).join(Item, Item.id == Caption.id).where(Item.removed_at.is_(None))
        return dict(session.execute(query).tuples().all())


def test_a_renamed_folder_keeps_its_ids_and_captions(config: Config, media: Path) -> None:
    before, said = ids(config), captions(config)
    (media / "boats").rename(media / "ships")
    table = media / "captions.jsonl"
    table.write_text(table.read_text().replace("boats/", "ships/"))
    report = index(config, media)
    assert outcome(report) == (12, 0, 0) and report.notes == []
    assert ids(config) == {path.replace("boats/", "ships/"): item for path, item in before.items()}
    assert captions(config) == said


def test_a_file_that_was_moved_within_its_root_or_to_another_is_known_again(
    config: Config, media: Path, tmp_path: Path
) -> None:
    before = ids(config)
    other = draw_folder(tmp_path / "other", 1)
    index(config, other)
    (media / "boats" / "red-000.jpg").rename(media / "red-000.jpg")
    (media / "boats" / "blue-001.jpg").rename(other / "blue-001.jpg")
    assert outcome(index(config, media, other)) == (2, 0, 0)  # out of the one root, then in the other
    after = ids(config)
    assert after["red-000.jpg"] == before["boats/red-000.jpg"]
    assert after["blue-001.jpg"] == before["boats/blue-001.jpg"]


def test_another_name_is_not_guessed_before_the_file_itself_is_found(config: Config, media: Path) -> None:
    """The first folders of a walk are compared before the later ones are seen."""
    before = ids(config)
    real = media / "boats" / "red-000.jpg"
    draw(media / "early" / "1.jpg", "green", "tree", 30, (200, 100))
    shutil.copy2(real, media / "early" / "0.jpg")
    for number in range(2, 300):
        os.link(media / "early" / "1.jpg", media / "early" / f"{number}.jpg")
    real.rename(media / "trees" / real.name)
    assert outcome(index(config, media)) == (1, 300, 0)
    assert ids(config)["trees/red-000.jpg"] == before["boats/red-000.jpg"]


def test_a_removed_file_that_comes_back_has_its_id(config: Config, media: Path, tmp_path: Path) -> None:
    before = ids(config)
    (media / "boats" / "red-000.jpg").rename(tmp_path / "kept.jpg")
    assert index(config, media).removed == 1
    (tmp_path / "kept.jpg").rename(media / "boats" / "red-000.jpg")
    assert outcome(index(config, media)) == (1, 0, 0) and ids(config) == before


def test_a_copy_and_a_file_written_later_are_new(config: Config, media: Path) -> None:
    shutil.copy2(media / "boats" / "red-000.jpg", media / "copy.jpg")
    (media / "boats" / "blue-001.jpg").rename(media / "later.jpg")
    os.utime(media / "later.jpg", ns=(5, 5))
    assert outcome(index(config, media)) == (0, 2, 1)


def test_files_alike_in_size_and_time_are_told_apart_by_their_paths(config: Config, media: Path) -> None:
    """As unpacking leaves them: names repeat between folders, and all have one time."""
    for folder in ("a", "b"):
        for name in ("1.bmp", "2.bmp"):
            draw(media / "set" / folder / name, "red", "boat", 1)
            os.utime(media / "set" / folder / name, ns=(10**18, 10**18))
    index(config, media)
    before = ids(config)
    (media / "set").rename(media / "lot")
    assert outcome(index(config, media)) == (4, 0, 0)
    assert ids(config) == {path.replace("set/", "lot/"): item for path, item in before.items()}
    before = ids(config)
    shutil.copytree(media / "lot" / "a", media / "early" / "x", copy_function=shutil.copy2)  # is compared first
    (media / "lot").rename(media / "set")
    assert outcome(index(config, media)) == (4, 2, 0)
    assert ids(config).items() >= {path.replace("lot/", "set/"): item for path, item in before.items()}.items()
    (media / "set").rename(media / "lot")
    shutil.rmtree(media / "early")
    index(config, media)
    (media / "lot" / "a" / "1.bmp").rename(media / "x.bmp")
    (media / "lot" / "a" / "2.bmp").unlink()
    assert outcome(index(config, media)) == (0, 1, 2)  # either of two: it is not guessed


def test_identical_files_keep_their_own_ids_when_their_folder_is_renamed(
    config: Config, media: Path, encoder_folder: Path
) -> None:
    embedding = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, model=str(encoder_folder)))
    for folder in ("a", "b", "c"):
        draw(media / "set" / folder / "same.jpg", "red", "boat", 1)
    index(embedding, media)
    before = ids(config)
    (media / "set").rename(media / "lot")
    assert outcome(index(embedding, media)) == (3, 0, 0)
    assert ids(config) == {path.replace("set/", "lot/"): item for path, item in before.items()}


@pytest.mark.parametrize(("count", "names"), [(1000, "{}.bmp"), (500, "{}/cover.bmp")])
def test_many_identical_files_that_move_are_each_looked_at_a_few_times(
    config: Config, media: Path, count: int, names: str
) -> None:
    one = media / "lot" / names.format(0)
    draw(one, "red", "boat", 1)
    for number in range(1, count):
        path = media / "lot" / names.format(number)
        path.parent.mkdir(exist_ok=True)
        os.link(one, path)
    index(config, media)
    before = ids(config)
    (media / "lot").rename(media / "set")
    calls = 0

    def on_call(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += frame.f_code.co_filename == moves.__file__

    sys.setprofile(on_call)
    try:
        report = index(config, media)
    finally:
        sys.setprofile(None)
    assert outcome(report) == (count, 0, 0)
    assert ids(config) == {path.replace("lot/", "set/"): item for path, item in before.items()}
    assert count < calls < 200 * count


def test_of_files_that_were_never_read_the_one_whose_path_ends_alike_is_the_one_that_moved(
    config: Config, media: Path
) -> None:
    """Though another of its name, size and time is compared long before it, with a folder of many others between."""
    draw(media / "set" / "a" / "1.bmp", "red", "boat", 1)
    index(config, media)
    before = ids(config)
    draw(media / "early" / "2.jpg", "green", "tree", 30, (200, 100))
    shutil.copy2(media / "set" / "a" / "1.bmp", media / "early" / "1.bmp")
    for number in range(3, 300):
        os.link(media / "early" / "2.jpg", media / "early" / f"{number}.jpg")
    (media / "set").rename(media / "zoo")
    assert outcome(index(config, media)) == (1, 299, 0)
    assert ids(config)["zoo/a/1.bmp"] == before["set/a/1.bmp"]


def test_a_copy_of_a_picture_in_a_tar_is_another_one(config: Config, media: Path, encoder_folder: Path) -> None:
    config = dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, model=str(encoder_folder)))
    with tarfile.open(media / "00000.tar", "w") as tar:
        tar.add(media / "boats" / "red-000.jpg", "0.jpg")
    index(config, media)
    (media / "boats" / "red-000.jpg").unlink()
    index(config, media)
    before = ids(config)
    with tarfile.open(media / "00000.tar") as tar:
        (media / "copy.jpg").write_bytes(tar.extractfile("0.jpg").read())  # type: ignore[union-attr]
    assert outcome(index(config, media)) == (0, 1, 0)  # not the one in the tar, as which the removed one goes on
    (media / "copy.jpg").rename(media / "other.jpg")
    (media / "more.jpg").write_bytes((media / "other.jpg").read_bytes())
    assert outcome(index(config, media)) == (1, 1, 0)
    assert ids(config)["00000.tar/0.jpg"] == before["00000.tar/0.jpg"]
