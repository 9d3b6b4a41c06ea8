"""Files as nobody means them: of another century, folders where files were, drawings without measure."""

import os
import tarfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Failure
from engine.config import Config
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder
from tests.test_moves import ids, index, outcome


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder)}))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "media", 4)


@pytest.mark.parametrize("seconds", [15_000_000_000, -9_000_000_000, 0])
def test_a_file_from_the_far_future_is_indexed_and_not_again(config: Config, media: Path, seconds: int) -> None:
    for name in ("boats/red-000.jpg", "captions.jsonl"):
        os.utime(media / name, (seconds, seconds))
    assert outcome(index(config, media)) == (0, 4, 0)
    report = index(config, media)
    assert outcome(report) == (0, 0, 0) and report.changed == 0


def test_a_file_that_is_a_folder_now_is_gone_and_nothing_is_said_to_exclude_it(config: Config, media: Path) -> None:
    index(config, media)
    place = media / "boats" / "red-000.jpg"
    place.unlink()
    draw(place / "inner.jpg", "green", "tree", 33)
    report = index(config, media)
    assert outcome(report) == (0, 1, 1) and report.notes == []


def test_a_picture_that_its_tar_holds_no_more_is_gone(config: Config, media: Path) -> None:
    pictures = sorted((media / "boats").iterdir())
    for names in (("0.jpg", "1.jpg"), ("0.jpg",)):
        with tarfile.open(media / "00000.tar", "w") as tar:
            for name, picture in zip(names, pictures, strict=False):
                tar.add(picture, name)
        report = index(config, media)
    assert outcome(report) == (0, 0, 1) and report.notes == [] and "00000.tar/1.jpg" not in ids(config)


def test_a_drawing_without_measure_is_told_once_and_no_setting_is_blamed(config: Config, media: Path) -> None:
    with (media / "huge.svg").open("wb") as file:
        file.truncate(65 * 2**20)
    assert index(config, media).added == 5
    with Catalog(config).session() as session:
        failure = session.scalars(sa.select(Failure)).one()
    assert failure.stage == "decode" and "67,108,864 bytes of drawing" in failure.reason
    assert "max_bytes" not in failure.hint and index(config, media).changed == 0
