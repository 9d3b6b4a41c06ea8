"""Files that failed, tried again: what that changes is published, and what it does not is not."""

from pathlib import Path

from engine.catalog import Catalog
from engine.config import Config
from engine.status import failures
from indexer.library import index_folders
from tests.conftest import config_at, draw_folder, found, silent


def library(tmp_path: Path, encoder_folder: Path) -> tuple[Config, Path]:
    """Six pictures; one of them with a caption cannot be read."""
    config = config_at(tmp_path / "home", encoder={"model": str(encoder_folder)})
    media = draw_folder(tmp_path / "media", 6)
    (media / "boats" / "red-000.jpg").write_bytes(b"no picture")
    return config, media


def version(config: Config, media: Path, retry: bool = True) -> int:
    """Index, and the number of what is published then."""
    published = index_folders(config, [media], silent, retry=retry).version
    assert published is not None
    return published.id


def test_files_that_fail_again_publish_nothing(tmp_path: Path, encoder_folder: Path) -> None:
    config, media = library(tmp_path, encoder_folder)
    first = version(config, media)
    assert [version(config, media), version(config, media)] == [first, first]
    assert [row["path"] for row in failures(Catalog(config))] == ["boats/red-000.jpg"]


def test_a_published_file_that_is_spoiled_leaves_the_next_version(tmp_path: Path, encoder_folder: Path) -> None:
    config, media = library(tmp_path, encoder_folder)
    first = version(config, media)
    (media / "boats" / "blue-001.jpg").write_bytes(b"no picture either")
    second = version(config, media, retry=False)
    assert second > first and "boats/blue-001.jpg" not in found(config)
    assert version(config, media) == second


def test_a_file_that_can_be_read_again_is_published(tmp_path: Path, encoder_folder: Path) -> None:
    config, media = library(tmp_path, encoder_folder)
    first = version(config, media)
    draw_folder(media, 1)
    assert version(config, media) > first and "boats/red-000.jpg" in found(config)
