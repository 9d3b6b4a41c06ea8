"""Things that move: a media folder, and a library's home with the encoders that were trained in it."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, Item, Root
from engine.config import Config
from engine.encoders import portable_spec, resolved_spec
from engine.errors import InvalidInput, LibraryBusy
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.care.doctor import examine, healthy
from indexer.care.relocate import Relocated, relocate
from indexer.choice import chosen_encoder
from indexer.jobs import writing
from indexer.library import index_folders
from tests.made_library import silent, snapshot
from tests.web_library import copy_library


@pytest.fixture
def media(config: Config) -> Path:
    return config.home.parent / "media1"


def roots(config: Config) -> list[str]:
    catalog = Catalog(config)
    with catalog.session() as session:
        found = list(session.scalars(sa.select(Root.path).order_by(Root.id)))
    catalog.engine.dispose()
    return found


# --- a media folder ---


def test_a_folder_that_moved_keeps_everything(config: Config, media: Path, tmp_path: Path) -> None:
    new = tmp_path / "drive" / "Pictures"
    new.parent.mkdir()
    media.rename(new)
    before = snapshot(config)
    assert not healthy(examine(config))
    assert relocate(config, media, new, silent) == Relocated(str(new), 12, 12, 12)
    assert roots(config) == [str(new)] and snapshot(config) == before and healthy(examine(config))


def test_nothing_is_read_again_after_it(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    new = tmp_path / "elsewhere"
    (tmp_path / "media1").rename(new)
    relocate(config, tmp_path / "media1", new, silent)
    report = index_folders(config, [new], silent)
    scan = report.scans[0]
    assert (scan.found, scan.added, scan.changed, scan.renamed, scan.removed) == (40, 0, 0, 0, 0)
    assert report.embedded == 0
    hits = Searcher(config, Catalog(config)).search(Query((Term(text="a red boat"),), Modality.IMAGE, limit=1)).hits
    assert hits[0].root == str(new) and (new / hits[0].path).is_file()


def test_a_folder_may_move_into_itself_and_by_a_relative_name(
    config: Config, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media.rename(tmp_path / "kept")
    media.mkdir()
    (tmp_path / "kept").rename(media / "inside")
    monkeypatch.chdir(tmp_path)
    assert relocate(config, Path("media1"), Path("media1/inside"), silent).found == 12
    assert roots(config) == [str(media / "inside")]


def test_a_part_of_the_files_is_enough_and_is_said(config: Config, media: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    shutil.copytree(media / "0", new / "0")
    (new / "0" / "000.jpg").write_bytes(b"grown since")
    report = relocate(config, media, new, silent)
    assert (report.files, report.looked_for, report.found) == (12, 12, 3)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "other files", "same names, other sizes"])
def test_a_place_that_is_not_it_is_refused(config: Config, media: Path, tmp_path: Path, kind: str) -> None:
    new = tmp_path / "new"
    if kind == "file":
        new.write_text("x")
    elif kind != "missing":
        new.mkdir()
    if kind == "other files":
        (new / "other.jpg").write_bytes(b"x")
    if kind == "same names, other sizes":
        shutil.copytree(media, new, dirs_exist_ok=True)
        for path in new.rglob("*.jpg"):
            path.write_bytes(b"x")
    with pytest.raises(InvalidInput):
        relocate(config, media, new, silent)
    assert roots(config) == [str(media)]


def test_an_unknown_folder_is_refused_with_the_known_ones(config: Config, media: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{tmp_path}/other is no folder of this library.*{media}"):
        relocate(config, tmp_path / "other", media, silent)
    with pytest.raises(InvalidInput, match="is no folder of this library"):
        relocate(config, media / "0", media, silent)


@pytest.mark.parametrize("where", ["the same", "inside", "above"])
def test_a_place_that_overlaps_another_root_is_refused(config: Config, media: Path, tmp_path: Path, where: str) -> None:
    other = tmp_path / "a" / "other"
    shutil.copytree(media, other / "copy")
    shutil.copytree(media, other, dirs_exist_ok=True)
    catalog = Catalog(config)
    with catalog.session() as session:
        session.add(Root(path=str(other)))
    catalog.engine.dispose()
    new = {"the same": other, "inside": other / "copy", "above": other.parent}[where]
    with pytest.raises(InvalidInput, match="overlaps"):
        relocate(config, media, new, silent)
    assert roots(config) == [str(media), str(other)]


def test_a_root_of_nothing_may_go_anywhere(config: Config, media: Path, tmp_path: Path) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(sa.update(Item).values(removed_at=1.0))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.txt").write_text("x")
    assert relocate(config, media, tmp_path / "new", silent) == Relocated(str(tmp_path / "new"), 0, 0, 0)
    with writing(catalog, "index", silent), pytest.raises(LibraryBusy):
        relocate(config, tmp_path / "new", media, silent)
    catalog.engine.dispose()


# --- a home, and its encoders ---


@pytest.mark.parametrize(
    ("spec", "kept"),
    [
        ("{home}/encoders/mine", "encoders/mine"),
        ("{home}/elsewhere/mine", "{home}/elsewhere/mine"),
        ("/models/encoders/mine", "/models/encoders/mine"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32/{home}/encoders/weights.pt", "open_clip:ViT-B-32/{home}/encoders/weights.pt"),
    ],
)
def test_a_spec_is_kept_so_that_the_home_may_move(tmp_path: Path, spec: str, kept: str) -> None:
    written, expected = (text.replace("{home}", str(tmp_path)) for text in (spec, kept))
    assert portable_spec(tmp_path, written) == expected
    assert resolved_spec(tmp_path, expected) == written


def test_a_home_reached_by_a_link_knows_its_own(tmp_path: Path) -> None:
    (tmp_path / "real" / "encoders" / "mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert portable_spec(tmp_path / "link", str(tmp_path / "real" / "encoders" / "mine")) == "encoders/mine"


def test_a_spec_written_by_an_absolute_path_is_found_in_the_new_home(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    spec = str(old / "encoders" / "mine")
    assert resolved_spec(new, spec) == spec  # neither is there: said as it was written
    (new / "encoders" / "mine").mkdir(parents=True)
    assert resolved_spec(new, spec) == str(new / "encoders" / "mine")
    (old / "encoders" / "mine").mkdir(parents=True)
    assert resolved_spec(new, spec) == spec


@pytest.mark.parametrize("absolute", [False, True])
def test_a_moved_home_loads_the_encoder_that_was_trained_in_it(library: Config, tmp_path: Path, absolute: bool) -> None:
    first = copy_library(library, tmp_path)
    own = first.home / "encoders" / "mine"
    shutil.copytree(library.encoder.model, own)
    config = replace(first, encoder=replace(first.encoder, model=str(own)))
    index_folders(config, [tmp_path / "media1"], silent)  # the same weights, now in the home
    catalog = Catalog(config)
    with catalog.session() as session:
        assert session.scalar(sa.select(EncoderRow.spec)) == "encoders/mine"
        if absolute:  # as releases before this one wrote it
            session.execute(sa.update(EncoderRow).values(spec=str(own)))
    catalog.engine.dispose()
    os.rename(first.home, tmp_path / "moved")
    there = replace(first, home=tmp_path / "moved", encoder=replace(first.encoder, model=""))
    moved = Catalog(there)
    assert chosen_encoder(moved, there) == str(tmp_path / "moved" / "encoders" / "mine")
    hits = Searcher(there, moved).search(Query((Term(text="a red boat"),), Modality.IMAGE)).hits
    assert hits and healthy(examine(there, deep=True))
    moved.engine.dispose()
