"""Files that are missing: few were removed; nearly all at once may be a drive that is not mounted, until it is said."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Item
from engine.config import Config
from engine.errors import InvalidInput
from indexer.dry_run import preview
from indexer.library import index_folders
from indexer.roots import open_root
from indexer.scan import Scan, ScanReport
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, silent

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))  # no encoder: what is compared is enough


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    """Twenty pictures, half in boats/ and half in trees/, that are indexed."""
    folder = draw_folder(tmp_path / "media", 20)
    index(config, folder)
    return folder


def index(config: Config, folder: Path, gone: bool = False) -> ScanReport:
    return index_folders(config, [folder], silent, gone=gone).scans[0]


def present(config: Config) -> int:
    with Catalog(config).session() as session:
        query = sa.select(sa.func.count()).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        return session.scalar(query) or 0


def test_a_stray_file_in_a_root_that_lost_all_others_does_not_take_them_out(config: Config, media: Path) -> None:
    shutil.rmtree(media)
    media.mkdir()
    (media / "README.txt").write_text("mount the drive here")
    report = index(config, media)
    assert report.removed == 0 and report.added == 1 and present(config) == 21
    (said,) = report.notes
    assert "20 of the 20 files" in said and "not mounted" in said and f"rebus index --gone {media}" in said


def test_what_is_said_to_be_gone_is_taken_out(config: Config, media: Path) -> None:
    shutil.rmtree(media)
    draw(media / "kept.jpg", "red", "boat", 1)
    assert preview(config, [media], gone=True)[0].removed == 20 and present(config) == 20
    report = index(config, media, gone=True)
    assert (report.removed, report.notes) == (20, []) and present(config) == 1


def test_an_emptied_folder_and_one_that_is_not_there_any_more_can_be_taken_out(config: Config, media: Path) -> None:
    shutil.rmtree(media / "boats")
    (media / "boats").mkdir()
    assert index(config, media / "boats").removed == 0
    assert index(config, media / "boats", gone=True).removed == 12 and present(config) == 8
    shutil.rmtree(media)
    with pytest.raises(InvalidInput, match="Is the drive mounted"):
        index(config, media)
    assert index(config, media, gone=True).removed == 8 and present(config) == 0


def test_a_folder_that_was_never_known_cannot_be_gone(config: Config, media: Path) -> None:
    with pytest.raises(InvalidInput, match="lies in no folder of this library"):
        index(config, media.parent / "other", gone=True)


@pytest.mark.parametrize("left", [1, 2])
def test_nine_in_ten_may_be_removed_at_once_and_more_may_not(config: Config, media: Path, left: int) -> None:
    for path in sorted(media.rglob("*.jpg"))[left:]:
        path.unlink()
    assert index(config, media).removed == (18 if left == 2 else 0)


@pytest.mark.parametrize("shallow", [True, False])
def test_a_root_that_goes_away_during_a_scan_loses_nothing(config: Config, media: Path, shallow: bool) -> None:
    for number in range(20):
        draw(media / f"{number}.jpg", "red", "boat", number)
    index(config, media)
    draw(media / "new.jpg", "red", "boat", 30)
    catalog = Catalog(config)
    scan = Scan(catalog, config, *open_root(catalog, media), shallow=shallow)
    steps = scan.run()
    next(steps)
    media.rename(media.parent / "away")
    for _ in steps:
        pass
    assert scan.report.removed == 0 and present(config) == 41


def test_few_files_may_all_be_replaced(config: Config, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "few", 4)
    index(config, folder)
    shutil.rmtree(folder)
    draw(folder / "new.jpg", "red", "boat", 1)
    assert index(config, folder).removed == 4


def test_all_that_only_moved_within_its_root_is_believed(config: Config, tmp_path: Path, encoder_folder: Path) -> None:
    embedding = config_at(tmp_path / "home", encoder={"model": str(encoder_folder)})  # contents are known by their hash
    folder = draw_folder(tmp_path / "media", 20)
    index(embedding, folder)
    (folder / "boats").rename(folder / "b")
    (folder / "trees").rename(folder / "t")
    report = index(embedding, folder)
    assert (report.renamed, report.removed, report.notes) == (20, 0, [])


def test_the_command_wants_the_folder(config: Config, media: Path, command: Command) -> None:
    code, _, said = command(config.home, "index", "--gone")
    assert code == 2 and "--gone wants the FOLDER" in said
    shutil.rmtree(media)
    code, out, _ = command(config.home, "index", "--gone", str(media), "--dry-run")
    assert code == 0 and "20 removed" in out and present(config) == 20


@pytest.mark.parametrize("how", ["--exclude", ".rebusignore"])
def test_what_is_excluded_leaves_at_once_and_the_drive_is_not_blamed(
    config: Config, media: Path, command: Command, how: str
) -> None:
    draw(media / "kept.png", "red", "boat", 1)
    if how == ".rebusignore":
        (media / how).write_text("*.jpg\n")
    asked = ["index", str(media), "--encoder", "", *(["--exclude", "*.jpg"] if how == "--exclude" else [])]
    code, out, _ = command(config.home, *asked, "--dry-run")
    assert code == 0 and "20 removed" in out and present(config) == 20
    code, out, _ = command(config.home, *asked)
    assert code == 0 and "20 removed" in out and present(config) == 1
    assert "20 known files are passed over" in out and how in out and "drive" not in out
    (media / ".rebusignore").unlink(missing_ok=True)
    report = index(config, media)
    assert (report.renamed, report.added, present(config)) == (20, 0, 21)


def test_an_excluded_folder_takes_no_part_in_what_is_missing(config: Config, media: Path) -> None:
    for path in (media / "trees").iterdir():
        path.unlink()
    for number in range(3):
        draw(media / "trees" / f"more-{number}.jpg", "red", "tree", number)
    index(config, media)
    (media / ".rebusignore").write_text("boats/\n")
    shutil.rmtree(media / "trees")
    (media / "trees").mkdir()
    report = index(config, media)
    assert report.removed == 15 and len(report.notes) == 1


def test_what_lost_all_its_files_says_that_nothing_is_left(
    tmp_path: Path, command: Command, encoder_folder: Path
) -> None:
    home, folder = tmp_path / "home", draw_folder(tmp_path / "media", 3)
    assert command(home, "index", str(folder), "--encoder", str(encoder_folder))[0] == 0
    shutil.rmtree(folder)
    for _ in range(2):
        folder.mkdir(exist_ok=True)
        code, out, _ = command(home, "index", "--gone", str(folder), "--encoder", str(encoder_folder))
        assert code == 0 and "Nothing is left to search" in out and "embedded" not in out
    (folder / "words.jpg").write_text("no picture")
    _, out, _ = command(home, "index", str(folder), "--encoder", str(encoder_folder))
    assert "1 file cannot be used" in out and "no picture could be embedded" in out
