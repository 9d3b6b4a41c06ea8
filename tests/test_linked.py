"""A root that moved, with a link left in its place: nothing is known twice, and what is said to do mends it."""

import shlex
from pathlib import Path

import pytest

from engine.catalog import Catalog
from engine.config import Config
from engine.errors import InvalidInput
from indexer.care.relocate import relocate
from indexer.care.surroundings import examine_roots
from indexer.dry_run import preview
from indexer.library import index_folders
from indexer.roots import known_roots
from indexer.watch import watch_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw_folder, silent
from tests.test_moves import captions, ids


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder)}))


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "media", 4)
    index_folders(config, [folder], silent)
    return folder


@pytest.fixture
def there(media: Path) -> Path:
    """Where the files lie now."""
    place = media.with_name("larger")
    media.rename(place)
    media.symlink_to(place)
    return place


def test_it_is_refused_by_both_names_with_the_command_that_mends_it(config: Config, media: Path, there: Path) -> None:
    before, said, told = ids(config), captions(config), list[str]()
    command = f"`rebus relocate {shlex.quote(str(media))} {shlex.quote(str(there))}`"
    for folder in (media, there, media / "boats", there.parent):
        with pytest.raises(InvalidInput, match=command):
            index_folders(config, [folder], silent)
    with pytest.raises(InvalidInput, match=command):
        preview(config, [media])
    with pytest.raises(InvalidInput, match=command):
        watch_folders(config, [media], silent, told.append)
    assert index_folders(config, [], silent, note=told.append).scans == [] and command in told[-1]
    assert (ids(config), captions(config)) == (before, said) and known_roots(Catalog(config)) == [media]
    (finding,) = examine_roots(Catalog(config))
    assert finding.level == "problem" and command in finding.repair and f"{media} is a link now" in finding.what
    assert relocate(config, media, there, silent).found == 4
    scan = index_folders(config, [media], silent).scans[0]
    assert (scan.found, scan.added, scan.renamed, scan.removed) == (4, 0, 0, 0)
    assert (ids(config), captions(config)) == (before, said) and known_roots(Catalog(config)) == [there]


@pytest.mark.parametrize("dangling", [False, True])
def test_it_can_be_said_to_be_gone(config: Config, media: Path, there: Path, dangling: bool) -> None:
    if dangling:
        there.rename(there.with_name("kept"))
    assert index_folders(config, [media], silent, gone=True).scans[0].removed == 4
    assert ids(config) == {}
    if not dangling:
        assert index_folders(config, [media], silent).scans[0].renamed == 4
        assert known_roots(Catalog(config)) == [media, there]


def test_what_moved_into_another_root_is_known_again_there(config: Config, media: Path, tmp_path: Path) -> None:
    other = draw_folder(tmp_path / "other", 1)
    index_folders(config, [other], silent)
    before, told = ids(config), list[str]()
    media.rename(other / "lot")
    media.symlink_to(other / "lot")
    report = index_folders(config, [], silent, note=told.append)
    assert f"rebus index --gone {media}" in told[0] and [scan.renamed for scan in report.scans] == [4]
    after = ids(config)
    assert all(after[f"lot/{path}"] == item for path, item in before.items() if path != "boats/red-000.jpg")
    assert len(after) == 5
    told.clear()
    index_folders(config, [], silent, note=told.append)
    assert told == []
