"""A scan that was cut short anywhere: the next one tells all that an undisturbed one would have told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Failure, Root
from engine.config import Config
from indexer.roots import open_root
from indexer.scan import Scan
from tests.conftest import config_at, draw_folder


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Twenty pictures, a table with lines in vain and lines that are none, and a sidecar that is none."""
    folder = draw_folder(tmp_path / "media", 20)
    with (folder / "captions.jsonl").open("a") as table:
        table.write('{"image": "gone.jpg", "en": "x"}\n?\n')
    (folder / "trees" / "captions.csv").write_text("image,caption\nnobody.jpg,x\n")
    (folder / "boats" / "red-000.json").write_text("{")
    (folder / "metadata.parquet").write_bytes(b"PAR1 and no more")
    return folder


def scan(config: Config, folder: Path, steps: int | None = None) -> None:
    """Compare a folder; after so many steps nothing more is done, as when the process is killed there."""
    catalog = Catalog(config, create=True)
    run = Scan(catalog, config, *open_root(catalog, folder)).run()
    for _, _ in zip(range(steps) if steps is not None else iter(int, 1), run, strict=False):
        pass
    catalog.engine.dispose()


def told(config: Config) -> list[tuple[Any, ...]]:
    columns = (Failure.id, Failure.path, Failure.stage, Failure.reason, Failure.hint)
    with Catalog(config).session() as session:
        return [tuple(row) for row in session.execute(sa.select(*columns).order_by(Failure.id))]


def unfinished(config: Config) -> bool:
    with Catalog(config).session() as session:
        return bool(session.scalar(sa.select(Root.unfinished)))


@pytest.mark.parametrize("steps", [1, 2])
def test_what_is_wrong_with_captions_is_told_after_a_kill(tmp_path: Path, media: Path, steps: int) -> None:
    calm, killed = config_at(tmp_path / "calm"), config_at(tmp_path / "killed")
    scan(calm, media)
    assert len(told(calm)) == 4 and not unfinished(calm)
    scan(killed, media, steps)
    assert unfinished(killed)
    scan(killed, media)
    assert told(killed) == told(calm) and not unfinished(killed)


def test_a_scan_of_a_part_leaves_the_rest_to_be_told(tmp_path: Path, media: Path) -> None:
    calm, killed = config_at(tmp_path / "calm"), config_at(tmp_path / "killed")
    scan(calm, media)
    scan(killed, media, 2)
    scan(killed, media / "boats")
    assert unfinished(killed)
    scan(killed, media)
    assert sorted(row[1:] for row in told(killed)) == sorted(row[1:] for row in told(calm)) and not unfinished(killed)


@pytest.mark.parametrize("change", [lambda media: None, lambda media: (media / "new.jpg").write_bytes(b"x")])
def test_what_holds_still_stays_as_it_was_told(tmp_path: Path, media: Path, change: Callable[[Path], Any]) -> None:
    config = config_at(tmp_path / "home")
    scan(config, media)
    before = told(config)
    change(media)
    scan(config, media)
    assert told(config) == before


def test_a_folder_above_one_that_is_not_finished_is_not_either(tmp_path: Path, media: Path) -> None:
    config = config_at(tmp_path / "home")
    scan(config, media, 1)
    open_root(Catalog(config), tmp_path)
    assert unfinished(config)
