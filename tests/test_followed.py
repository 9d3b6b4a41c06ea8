"""A caption table that names files by the paths at which they lay before they moved: its rows follow them."""

import json
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Failure, Item, Root
from engine.config import Config
from indexer.care.relocate import relocate
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, silent
from tests.test_moves import captions, ids, index, outcome


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return begin(config_at(tmp_path / "home"))


@pytest.fixture
def media(config: Config, tmp_path: Path) -> Path:
    """Twelve pictures in boats/, eight in trees/, in a table of two captions each."""
    folder = draw_folder(tmp_path / "media", 20)
    index(config, folder)
    return folder


def rows(media: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (media / "captions.jsonl").read_text().splitlines()]


def write(media: Path, said: list[dict[str, object]]) -> None:
    (media / "captions.jsonl").write_text("\n".join(map(json.dumps, said)))


def move(path: Path, folder: Path) -> None:
    """A file that was never read is known again by its name, size and time."""
    folder.mkdir(exist_ok=True)
    path.rename(folder / path.name)


def said_of(config: Config, path: str) -> list[str]:
    """The captions of the file at a path."""
    with Catalog(config).session() as session:
        of = sa.select(Item.id).where(Item.path == path, Item.parent_id.is_(None), Item.removed_at.is_(None))
        item = session.scalars(of).one()
    return [caption.text for caption in Catalog(config).captions_of(item)]


def failures(config: Config) -> list[str]:
    with Catalog(config).session() as session:
        return list(session.scalars(sa.select(Failure.reason)))


def nothing_to_do(config: Config, *folders: Path) -> bool:
    """Whether another run finds all as it is, and writes nothing."""
    before = captions(config)
    with Catalog(config).session() as session:
        stamps = session.execute(sa.select(Item.id, Item.stamp, Item.told_as, Item.split)).all()
    report = index(config, *folders)
    with Catalog(config).session() as session:
        same = stamps == session.execute(sa.select(Item.id, Item.stamp, Item.told_as, Item.split)).all()
    return same and captions(config) == before and outcome(report) == (0, 0, 0) and report.changed == 0


def test_a_renamed_folder_keeps_its_captions_though_the_table_above_it_names_the_old_one(
    config: Config, media: Path
) -> None:
    said, before = captions(config), ids(config)
    (media / "boats").rename(media / "ships")
    assert outcome(index(config, media)) == (12, 0, 0)
    assert captions(config) == said and len(said) == 40 and failures(config) == []
    assert ids(config) == {path.replace("boats/", "ships/"): item for path, item in before.items()}
    assert nothing_to_do(config, media)
    index_folders(config, [media], silent, again=True)
    assert captions(config) == said and nothing_to_do(config, media)
    (media / "ships").rename(media / "fleet")
    index(config, media)
    (media / "fleet").rename(media / "boats")
    index(config, media)
    assert captions(config) == said and ids(config) == before and nothing_to_do(config, media)


def test_an_edited_table_counts_for_what_moved(config: Config, media: Path) -> None:
    before = captions(config)
    move(media / "boats" / "red-000.jpg", media / "first")
    move(media / "boats" / "blue-001.jpg", media / "trees")
    index(config, media)
    assert captions(config) == before
    table = rows(media)
    write(media, [{**table[0], "en": ["another boat"]}, *table[2:]])  # one row reads otherwise, one is gone
    index(config, media)
    assert said_of(config, "first/red-000.jpg") == ["another boat"] and said_of(config, "trees/blue-001.jpg") == []
    assert len(captions(config)) == 37 and failures(config) == [] and nothing_to_do(config, media)
    write(media, [{**table[0], "image": "first/red-000.jpg", "en": ["by its name"]}, *table[2:]])
    index(config, media)
    assert said_of(config, "first/red-000.jpg") == ["by its name"]
    move(media / "first" / "red-000.jpg", media / "second")  # known by its second name now
    index(config, media)
    assert said_of(config, "second/red-000.jpg") == ["by its name"] and nothing_to_do(config, media)
    write(media, table[2:])
    index(config, media)
    assert said_of(config, "second/red-000.jpg") == [] and len(captions(config)) == 36


def test_a_row_belongs_to_the_file_that_lies_where_it_says(config: Config, media: Path) -> None:
    first = media / "boats" / "red-000.jpg"
    move(first, media / "moved")
    index(config, media)
    assert said_of(config, "moved/red-000.jpg") == ["a red boat", "the boat is red, number 0"]
    shutil.copy(media / "trees" / "green-006.jpg", first)
    index(config, media)
    assert said_of(config, "boats/red-000.jpg") == ["a red boat", "the boat is red, number 0"]
    assert said_of(config, "moved/red-000.jpg") == [] and failures(config) == [] and nothing_to_do(config, media)
    move(first, media / "later")  # the row follows the one that had it last
    index(config, media)
    assert said_of(config, "later/red-000.jpg") == ["a red boat", "the boat is red, number 0"]
    assert said_of(config, "moved/red-000.jpg") == [] and nothing_to_do(config, media)


@pytest.mark.parametrize("first", ["old", "new"])
def test_what_moved_to_another_root_is_still_described_by_the_table_it_left(
    config: Config, media: Path, tmp_path: Path, first: str
) -> None:
    other = draw_folder(tmp_path / "other", 1)
    index(config, other)
    said, before = captions(config), ids(config)
    (media / "trees").rename(other / "woods")
    order = (media, other) if first == "old" else (other, media)
    report = index(config, *order)
    assert (report.added, report.renamed) == (0, 8)
    assert captions(config) == said and failures(config) == [] and nothing_to_do(config, *order)
    assert ids(config) == {path.replace("trees/", "woods/"): item for path, item in before.items()}
    media.rename(tmp_path / "unplugged")
    index(config, other)
    assert captions(config) == said
    (tmp_path / "unplugged").rename(tmp_path / "moved")
    relocate(config, media, tmp_path / "moved", silent)
    assert nothing_to_do(config, tmp_path / "moved", other) and captions(config) == said
    write(tmp_path / "moved", rows(tmp_path / "moved")[:4])
    index(config, *((tmp_path / "moved", other) if first == "old" else (other, tmp_path / "moved")))
    assert len(captions(config)) == 10 and failures(config) == []


def test_what_is_renamed_while_the_drive_with_its_table_is_away_keeps_its_captions(config: Config, media: Path) -> None:
    drive = media / "drive"
    for name in ("a", "b"):
        draw(drive / f"{name}.jpg", "red", "tree", 3)
    write(drive, [{"image": "a.jpg", "en": ["on the drive"]}])
    index(config, media)
    move(drive / "a.jpg", media / "first")
    index(config, media)
    with Catalog(config).session() as session:  # as if it had been a drive at the last scan
        session.execute(sa.update(Root).values(mounts=["drive"]))
    drive.rename(media.parent / "unplugged")
    move(media / "first" / "a.jpg", media / "second")
    assert outcome(index(config, media)) == (1, 0, 0) and said_of(config, "second/a.jpg") == ["on the drive"]
    assert nothing_to_do(config, media)
    (media / "second" / "a.txt").write_text("beside it")
    index(config, media)
    assert sorted(said_of(config, "second/a.jpg")) == ["beside it", "on the drive"] and nothing_to_do(config, media)
    (media / "second" / "a.txt").unlink()
    index(config, media)
    assert said_of(config, "second/a.jpg") == ["on the drive"]
    (media.parent / "unplugged").rename(drive)
    for _ in range(2):  # by the first it is known to be a folder like any other
        index(config, media)
    assert said_of(config, "second/a.jpg") == ["on the drive"] and nothing_to_do(config, media)


def test_facts_of_a_sidecar_that_was_left_behind_stay_as_long_as_it_does(config: Config, media: Path) -> None:
    (media / "boats" / "red-000.json").write_text(json.dumps({"camera": "Box"}))
    index(config, media)
    item = ids(config)["boats/red-000.jpg"]
    assert Catalog(config).facts_of(item)[0] is not None
    move(media / "boats" / "red-000.jpg", media / "moved")
    index(config, media)
    assert Catalog(config).facts_of(item)[0] is not None and nothing_to_do(config, media)
    (media / "boats" / "red-000.json").unlink()
    index(config, media)
    assert Catalog(config).facts_of(item)[0] is None and nothing_to_do(config, media)


def test_a_row_leaves_the_file_that_it_followed_though_only_its_own_folder_is_compared(
    config: Config, media: Path
) -> None:
    """As a watch does."""
    first = media / "boats" / "red-000.jpg"
    move(first, media / "moved")
    index(config, media)
    shutil.copy(media / "trees" / "green-006.jpg", first)
    index_folders(config, [media / "boats"], silent, shallow=True)
    assert said_of(config, "boats/red-000.jpg") == ["a red boat", "the boat is red, number 0"]
    assert said_of(config, "moved/red-000.jpg") == [] and nothing_to_do(config, media)
