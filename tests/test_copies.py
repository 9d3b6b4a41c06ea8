"""A move in two steps: a copy that is indexed, then the original that is deleted. It is one file all along."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine import marks
from engine.catalog import Catalog, Item, Mark, Root
from engine.config import Config
from engine.encoders import Encoder, load_encoder
from engine.marks import Asked
from engine.media.files import hash_file
from indexer.dry_run import preview
from indexer.library import index_folders
from indexer.scan import ScanReport
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, found, silent
from tests.test_followed import nothing_to_do, rows, said_of, write
from tests.test_moves import captions, ids, outcome
from tests.test_moves import index as compare


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))  # without an encoder, whose loading would take most of the time


@pytest.fixture
def embedding(config: Config, encoder_folder: Path) -> Config:
    return dataclasses.replace(config, encoder=dataclasses.replace(config.encoder, model=str(encoder_folder)))


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    """Four boats, with a table."""
    folder = draw_folder(tmp_path / "media", 4)
    index(config, folder)
    return folder


def index(config: Config, folder: Path) -> ScanReport:
    """Compare, and note the hashes of contents, as the reading for an encoder does."""
    report = compare(config, folder)
    with Catalog(config).session() as session:
        for item in session.scalars(sa.select(Item).where(Item.content_hash.is_(None), Item.parent_id.is_(None))):
            place = folder / item.path
            item.content_hash = hash_file(place, 10**6) if item.removed_at is None else None
    return report


def marked(config: Config) -> list[int]:
    with Catalog(config).session() as session:
        return list(session.scalars(sa.select(Mark.item_id).order_by(Mark.item_id)))


@pytest.mark.parametrize("place", ["kept/red-000.jpg", "boats/other.jpg"])
def test_the_older_row_goes_on_where_the_copy_lies(config: Config, media: Path, place: str) -> None:
    first, said = media / "boats" / "red-000.jpg", captions(config)
    item = ids(config)["boats/red-000.jpg"]
    (media / place).parent.mkdir(exist_ok=True)
    shutil.copy2(first, media / place)
    assert outcome(index(config, media)) == (0, 1, 0)
    marks.put(Catalog(config), Asked("a boat"), [item], True)
    marks.put(Catalog(config), Asked("a ship"), [ids(config)[place]], True)
    first.unlink()
    assert outcome(index(config, media)) == (1, 0, 0)
    assert ids(config)[place] == item and len(ids(config)) == 4 and captions(config) == said
    assert marked(config) == [item, item] and nothing_to_do(config, media)
    (media / place).rename(media / "away.jpg")
    index(config, media)
    assert ids(config)["away.jpg"] == item and captions(config) == said
    (media / "away.jpg").rename(media.parent / "kept.jpg")
    index(config, media)
    (media.parent / "kept.jpg").rename(first)
    index(config, media)
    assert ids(config)["boats/red-000.jpg"] == item and captions(config) == said


def test_a_copy_has_its_own_sidecars_and_not_those_that_were_left(config: Config, media: Path) -> None:
    first = media / "boats" / "red-000.jpg"
    first.with_suffix(".txt").write_text("left behind")
    index(config, media)
    item = ids(config)["boats/red-000.jpg"]
    (media / "kept").mkdir()
    shutil.copy2(first, media / "kept" / "a.jpg")
    (media / "kept" / "a.txt").write_text("of the copy")
    index(config, media)
    first.unlink()
    index(config, media)
    assert ids(config)["kept/a.jpg"] == item
    assert said_of(config, "kept/a.jpg") == ["a red boat", "the boat is red, number 0", "of the copy"]


def test_files_that_were_alike_from_the_beginning_stay_what_they_are(config: Config, media: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        draw(media / "pair" / name, "blue", "tree", 3)
    (media / "pair" / "captions.jsonl").write_text(json.dumps({"image": "a.jpg", "en": ["the first"]}))
    index(config, media)
    before = ids(config)
    (media / "pair" / "a.jpg").unlink()
    assert outcome(index(config, media)) == (0, 0, 1)
    assert ids(config)["pair/b.jpg"] == before["pair/b.jpg"] and said_of(config, "pair/b.jpg") == []


def test_a_copy_that_a_table_describes_otherwise_is_a_file_of_its_own(config: Config, media: Path) -> None:
    first = media / "boats" / "red-000.jpg"
    shutil.copy2(first, media / "copy.jpg")
    write(media, [*rows(media), {"image": "copy.jpg", "en": ["the copy"]}])
    index(config, media)
    copy = ids(config)["copy.jpg"]
    first.unlink()
    assert outcome(index(config, media)) == (0, 0, 1)
    assert ids(config)["copy.jpg"] == copy and said_of(config, "copy.jpg") == ["the copy"]


def test_a_folder_that_was_copied_to_another_root_goes_on_there(config: Config, media: Path, tmp_path: Path) -> None:
    """With its table; and the names of the files tell which is which."""
    for name in ("a", "b"):
        draw(media / name / "same.jpg", "red", "tree", 3)
    index(config, media)
    before, said, other = ids(config), captions(config), tmp_path / "other"
    shutil.copytree(media, other)
    index(config, other)
    assert len(ids(config)) == 6 and len(captions(config)) == 16
    shutil.rmtree(media)
    media.symlink_to(other)
    report = index_folders(config, [media], silent, gone=True).scans[0]
    assert (report.renamed, report.removed) == (6, 0)
    assert (ids(config), captions(config)) == (before, said) and nothing_to_do(config, other)
    with Catalog(config).session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Root)) == 2


def test_a_deletion_that_a_watch_saw_is_taken_so_too(config: Config, media: Path) -> None:
    first, said = media / "boats" / "red-000.jpg", captions(config)
    item = ids(config)["boats/red-000.jpg"]
    shutil.copy2(first, media / "copy.jpg")
    index(config, media)
    first.unlink()
    index_folders(config, [first.parent], silent, shallow=True, known=True, deleted={str(first)})
    assert ids(config)["copy.jpg"] == item and captions(config) == said and nothing_to_do(config, media)


def test_what_is_written_beside_a_copy_counts_though_the_root_it_came_from_is_gone(
    config: Config, media: Path, tmp_path: Path
) -> None:
    before, other = ids(config), tmp_path / "other"
    for path in (media / "boats").iterdir():
        (other / "boats").mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, other / "boats" / path.name)
    index(config, other)
    shutil.rmtree(media)
    index_folders(config, [media], silent, gone=True)
    (other / "boats" / "red-000.txt").write_text("beside it")
    index(config, other)
    assert ids(config) == before and nothing_to_do(config, other)
    assert sorted(said_of(config, "boats/red-000.jpg")) == ["a red boat", "beside it", "the boat is red, number 0"]


def test_a_copy_that_an_encoder_saw_is_one_to_it(embedding: Config, media: Path) -> None:
    shutil.copy2(media / "boats" / "red-000.jpg", media / "copy.jpg")
    index_folders(embedding, [media], silent)
    before = ids(embedding)
    (media / "boats" / "red-000.jpg").unlink()
    report = index_folders(embedding, [media], silent)
    assert outcome(report.scans[0]) == (1, 0, 0) and report.embedded == 0
    assert ids(embedding)["copy.jpg"] == before["boats/red-000.jpg"] and "copy.jpg" in found(embedding)


@pytest.fixture(scope="module")
def encoder(encoder_folder: Path) -> Encoder:
    return load_encoder(str(encoder_folder), "cpu")


def test_all_that_a_root_held_is_followed_to_another_one(embedding: Config, tmp_path: Path, encoder: Encoder) -> None:
    first, second = draw_folder(tmp_path / "first", 4), tmp_path / "second"
    (first / "boats" / "red-000.txt").write_text("beside it")
    draw(second / "other.jpg", "green", "tree", 7)
    index_folders(embedding, [first, second], silent, encoder=encoder)
    before, said = ids(embedding), captions(embedding)
    for path in list(first.iterdir()):
        path.rename(second / path.name)
    notes, foreseen = list[str](), list[str]()
    assert outcome(preview(embedding, [], note=foreseen.append)[0]) == (4, 0, 0)
    report = index_folders(embedding, [], silent, encoder=encoder, note=notes.append)
    assert outcome(report.scans[0]) == (4, 0, 0) and nothing_to_do(embedding, second)
    assert (ids(embedding), captions(embedding)) == (before, said)
    assert f"{first} is absent or empty, and all it held was found elsewhere: 4 files moved" in foreseen
    assert set(foreseen) <= set(notes)
    (second / "boats" / "red-000.txt").write_text("edited there")
    index_folders(embedding, [], silent, encoder=encoder)
    assert "edited there" in said_of(embedding, "boats/red-000.jpg") and found(embedding) == set(before)


@pytest.mark.parametrize("other", ["one file", "time", "words", "sidecar", "earlier"])
def test_a_root_that_is_away_keeps_its_items_though_there_are_copies(
    embedding: Config, tmp_path: Path, encoder: Encoder, other: str
) -> None:
    """Unless each was found again as it was: a drive, and a copy of it."""
    first, second = draw_folder(tmp_path / "first", 2), tmp_path / "second"
    (first / "boats" / "red-000.txt").write_text("beside it")
    index_folders(embedding, [first], silent, encoder=encoder)
    before, said = ids(embedding), captions(embedding)
    shutil.copytree(first, second)
    picture = second / "boats" / "red-000.jpg"
    if other == "one file":
        picture.unlink()
    elif other == "time":
        os.utime(picture, ns=(1, 1))
    elif other == "words":
        (second / "captions.jsonl").unlink()
    elif other == "sidecar":
        (second / "boats" / "red-000.txt").unlink()
    elif other == "earlier":
        index_folders(embedding, [second], silent, encoder=encoder)
    first.rename(tmp_path / "away")
    (scan,) = index_folders(embedding, [second], silent, encoder=encoder).scans
    assert scan.renamed == 0 and captions(embedding).items() >= said.items()
    with Catalog(embedding).session() as session:
        query = sa.select(Item.path, Item.id).join(Root, Root.id == Item.root_id).where(Root.path == str(first))
        query = query.where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        assert dict(session.execute(query).tuples().all()) == before


def test_all_that_a_folder_held_which_is_empty_now_is_followed_when_it_comes_back_elsewhere(
    embedding: Config, tmp_path: Path, encoder: Encoder
) -> None:
    """It was taken for the place of a drive in between."""
    media = draw_folder(tmp_path / "media", 24)
    (media / "captions.jsonl").unlink()
    index_folders(embedding, [media], silent, encoder=encoder)
    before = ids(embedding)
    (media / "boats").rename(tmp_path / "out")
    (media / "boats").mkdir()
    (scan,) = index_folders(embedding, [media], silent, encoder=encoder).scans
    assert outcome(scan) == (0, 0, 0) and len(scan.notes) == 1
    (tmp_path / "out").rename(media / "ships")
    assert preview(embedding, [media]) == index_folders(embedding, [media], silent, encoder=encoder).scans
    assert ids(embedding) == {path.replace("boats/", "ships/"): item for path, item in before.items()}
    assert nothing_to_do(embedding, media)
