"""What a watch sees being deleted was removed, though all of a folder was; what goes with a drive was not."""

import shutil
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Item
from engine.config import Config
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, found, silent
from tests.test_watch import following, hear, hear_removed


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder), "batch_size": 8}))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "media", 40)


def present(config: Config) -> int:
    with Catalog(config).session() as session:
        query = sa.select(sa.func.count()).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        return session.scalar(query) or 0


def test_all_files_of_a_folder_that_are_deleted_leave_results(config: Config, media: Path) -> None:
    with following(config, [media]) as said:
        for path in (media / "boats").iterdir():
            path.unlink()
        hear_removed(said, 20)
        assert present(config) == 20 and not [path for path in found(config) if path.startswith("boats/")]
        for path in (*(media / "trees").iterdir(), media / "captions.jsonl"):
            path.unlink()
        for folder in media.iterdir():
            folder.rmdir()
        hear_removed(said, 20)  # and the folder that is followed holds nothing at all
        assert present(config) == 0


def test_without_a_watch_an_emptied_folder_is_held_back_as_before(config: Config, media: Path) -> None:
    index_folders(config, [media], silent)
    deleted = [str(path) for path in (media / "boats").iterdir()]
    for path in deleted:
        Path(path).unlink()
    for told, removed in ((deleted[:1], 1), ([], 0), (deleted, 19)):
        (scan,) = index_folders(config, [media / "boats"], silent, shallow=True, deleted=told).scans
        assert scan.removed == removed and bool(scan.notes) == (removed != 19)


@pytest.mark.parametrize("known", [True, False])
def test_a_drive_that_is_unmounted_under_a_watch_keeps_its_files(config: Config, media: Path, known: bool) -> None:
    """Whether a scan saw it as a drive, or, as a folder bound there, it looks like any other."""
    drive = media / "drive"
    drive.mkdir()
    hold = media.parent / "hold"
    hold.mkdir()
    kind = ["-t", "tmpfs", "-o", "size=4m", "tmpfs"] if known else ["--bind", str(hold)]
    mounting = ["mount", *kind, str(drive)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        for number in range(12):
            draw(drive / f"{number}.jpg", "red", "boat", number)
        with following(config, [media]) as said:
            (drive / "0.jpg").unlink()
            hear(said, "1 removed")
            subprocess.run(["umount", str(drive)], check=True)
            draw(media / "boats" / "late.jpg", "red", "boat", 5, (64, 64))
            lines = hear(said, "1 new")
            assert present(config) == 52 and not [
                line for line in lines if "removed" in line and "(a drive" not in line
            ]
    finally:
        subprocess.run(["umount", str(drive)], capture_output=True, check=False)
