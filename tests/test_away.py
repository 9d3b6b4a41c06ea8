"""Drives below a root: a folder that is left by one loses nothing until a person says so; what was emptied says how."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Item, Root
from engine.config import Config
from indexer.care.surroundings import examine_roots
from indexer.dry_run import preview
from indexer.library import index_folders
from indexer.roots import open_root
from indexer.scan import ScanReport
from indexer.walk import walk
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, silent


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    """Twelve pictures in boats/, eight in trees/."""
    folder = draw_folder(tmp_path / "media", 20)
    index(config, folder)
    return folder


def index(config: Config, *folders: Path, gone: bool = False) -> ScanReport:
    return index_folders(config, folders, silent, gone=gone).scans[0]


def present(config: Config) -> int:
    with Catalog(config).session() as session:
        query = sa.select(sa.func.count()).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        return session.scalar(query) or 0


def mounts(config: Config) -> list[str] | None:
    with Catalog(config).session() as session:
        return session.scalars(sa.select(Root.mounts)).one()


def remember(config: Config, *folders: str) -> None:
    """As if drives had been there at the last scan."""
    with Catalog(config).session() as session:
        session.execute(sa.update(Root).values(mounts=list(folders)))


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def test_a_folder_that_is_empty_now_keeps_its_many_items_until_it_is_said(config: Config, media: Path) -> None:
    empty(media / "boats")
    draw(media / "new.jpg", "red", "boat", 3)
    report = index(config, media)
    assert (report.removed, report.added, present(config)) == (0, 1, 21)
    (said,) = report.notes
    assert f"{media / 'boats'} is absent or empty now" in said and "12 files" in said
    assert f"`rebus index --gone {media / 'boats'}`" in said
    assert index(config, media).notes == [said]
    assert preview(config, [media])[0].notes == [said]
    report = index(config, media / "boats", gone=True)
    assert (report.removed, report.notes) == (12, []) and index(config, media).notes == []


def test_folders_within_the_one_that_was_emptied_are_counted_together(config: Config, media: Path) -> None:
    for number in range(10):
        draw(media / "disk" / str(number % 2) / f"{number}.jpg", "red", "boat", number)
    index(config, media)
    empty(media / "disk")
    assert index(config, media).removed == 0 and present(config) == 30


def test_a_few_files_and_a_folder_that_was_removed_are_believed(config: Config, media: Path) -> None:
    draw_folder(media / "others", 4)
    index(config, media)
    empty(media / "trees")
    shutil.rmtree(media / "boats")
    report = index(config, media)
    assert (report.removed, report.notes) == (20, [])


def test_what_moved_out_of_a_folder_leaves_nothing_to_say(config: Config, media: Path) -> None:
    (media / "ships").mkdir()
    for path in (media / "boats").iterdir():
        path.rename(media / "ships" / path.name)
    report = index(config, media)
    assert (report.renamed, report.removed, report.notes) == (12, 0, [])


@pytest.mark.parametrize("left", ["nothing", "the folder", "a stray file"])
def test_where_a_drive_was_the_last_time_nothing_is_lost_without_it(config: Config, media: Path, left: str) -> None:
    remember(config, "trees")
    shutil.rmtree(media / "trees")
    if left == "the folder":
        (media / "trees").mkdir()
    elif left == "a stray file":
        draw(media / "trees" / "stray.jpg", "red", "boat", 50)
    report = index(config, media)
    how = "has no drive mounted now" if left == "a stray file" else "is absent or empty now"
    assert report.removed == 0 and f"trees {how}, and held 8 files" in report.notes[0]
    assert mounts(config) == ["trees"]
    assert index(config, media / "trees", gone=True).removed == 8 and mounts(config) == []


def test_doctor_names_the_drive_within_a_root_that_is_away_and_what_to_do(config: Config, media: Path) -> None:
    remember(config, "trees", "unused")
    shutil.rmtree(media / "trees")
    there, away = examine_roots(Catalog(config))
    assert there.level == "ok" and away.level == "problem"
    assert away.what == f"the drive of {media / 'trees'} is away, and 8 files of it are indexed"
    assert away.repair.startswith("mount it") and f"`rebus index --gone {media / 'trees'}`" in away.repair
    index(config, media / "trees", gone=True)
    assert [one.level for one in examine_roots(Catalog(config))] == ["ok"]


def test_a_copy_of_a_file_on_a_drive_that_is_away_is_a_file_of_its_own(config: Config, media: Path) -> None:
    remember(config, "trees")
    shutil.copy2(media / "trees" / "red-004.jpg", media / "red-004.jpg")
    shutil.rmtree(media / "trees")
    report = index(config, media)
    assert (report.renamed, report.added, report.removed, present(config)) == (0, 1, 0, 21)


@pytest.mark.parametrize("named", ["trees", "trees/old"])
def test_what_is_gone_around_a_drive_says_nothing_of_the_drive(config: Config, media: Path, named: str) -> None:
    for number in range(3):
        draw(media / "trees" / "old" / "drive" / f"{number}.jpg", "red", "boat", number)
    draw(media / "trees" / "old" / "own.jpg", "red", "boat", 9)
    index(config, media)
    remember(config, "trees/old/drive")
    shutil.rmtree(media / "trees")
    report = index(config, media / named, gone=True)
    drive = media / "trees" / "old" / "drive"
    (said,) = report.notes
    assert f"{drive} is absent or empty now, and held 3 files" in said and f"`rebus index --gone {drive}`" in said
    assert report.removed == (9 if named == "trees" else 1) and mounts(config) == ["trees/old/drive"]
    report = index(config, drive, gone=True)
    assert (report.removed, report.notes, mounts(config)) == (3, [], [])


def test_each_of_many_places_is_named_to_be_given_up(config: Config, media: Path) -> None:
    places = [media / f"disk {number}" for number in range(4)]
    for place in places:
        draw(place / "one.jpg", "red", "boat", 1)
    index(config, media)
    remember(config, *(place.name for place in places))
    for place in places:
        shutil.rmtree(place)
    (said,) = index(config, media).notes
    assert "and 1 more folder are absent or empty now, and held 4 files" in said
    assert all(f"'{place}'" in said for place in places)
    assert index(config, *places, gone=True).removed == 1 and present(config) == 20


def test_a_folder_that_is_a_link_now_is_not_called_excluded(config: Config, media: Path, tmp_path: Path) -> None:
    (media / "trees").rename(tmp_path / "trees")
    (media / "trees").symlink_to(tmp_path / "trees")
    report = index(config, media)
    (said,) = report.notes
    assert report.removed == 8 and "8 known files are behind a link now" in said and "links are not followed" in said


def test_what_was_copied_from_a_drive_into_its_place_is_a_folder_like_any_other(config: Config, media: Path) -> None:
    remember(config, "trees", "boats")
    index(config, media / "boats")
    assert mounts(config) == ["trees"]  # not looked at
    index(config, media)
    assert mounts(config) == []


def test_a_root_that_is_taken_in_brings_its_drives(config: Config, media: Path) -> None:
    remember(config, "trees")
    open_root(Catalog(config), media.parent)
    assert mounts(config) == ["media/trees"]


def test_a_walk_tells_another_device() -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == shared.parent.stat().st_dev:
        pytest.skip("/dev/shm lies on no device of its own here")
    assert next(walk(shared.parent, shared, shared)).mounted
    assert not next(walk(shared, shared, shared.parent)).mounted  # a root's own is no inner one


@pytest.fixture
def drive(media: Path) -> Iterator[Path]:
    """A drive that is mounted in the root, with four pictures."""
    place = media / "drive"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    for number in range(4):
        draw(place / f"{number}.jpg", "red", "boat", number)
    yield place
    subprocess.run(["umount", str(place)], capture_output=True, check=False)


def test_a_real_drive_that_is_unmounted_loses_nothing_and_an_emptied_one_all(
    config: Config, media: Path, drive: Path
) -> None:
    index(config, media)
    assert mounts(config) == ["drive"]
    for path in sorted(drive.iterdir())[1:]:
        path.unlink()
    assert index(config, media).removed == 3
    subprocess.run(["umount", str(drive)], check=True)
    assert index(config, media).removed == 0 and present(config) == 21
    drive.rmdir()  # as desktops do
    assert index(config, media).removed == 0 and present(config) == 21 and mounts(config) == ["drive"]


def test_a_drive_that_is_mounted_and_holds_nothing_may_be_another_one(config: Config, media: Path, drive: Path) -> None:
    """As a container has an empty folder mounted for a drive that is away; remembered or not, with many files."""
    index(config, media)
    for path in drive.iterdir():
        path.unlink()
    report = index(config, media)
    assert report.removed == 0 and f"{drive} is absent or empty now, and held 4 files" in report.notes[0]
    for number in range(10):
        draw(drive / f"{number}.jpg", "red", "boat", number)
    index(config, media)
    remember(config)
    for path in drive.iterdir():
        path.unlink()
    assert index(config, media).removed == 0 and mounts(config) == ["drive"]
    assert index(config, drive, gone=True).removed == 10
