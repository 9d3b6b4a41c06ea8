"""Following folders live: changes as they come, and roots that go away and return."""

import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from watchfiles import Change

from engine.catalog import Catalog, Root
from engine.config import Config
from engine.errors import InvalidInput
from indexer.jobs import Tell
from indexer.library import index_folders
from indexer.roots import drive_places, known_roots, open_root
from indexer.watch import _Identity, _replaced, _there, _Work, watch_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, found, silent


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder), "batch_size": 8}))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "media", 40)


@contextmanager
def following(
    config: Config, folders: Sequence[Path], heed: Callable[[str], object] = silent, tell: Tell = silent
) -> Iterator["queue.SimpleQueue[str]"]:
    """What a watch says, from when it follows. heed: is told of it first, in the midst of the watch's work."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    over = threading.Event()

    def note(line: str) -> None:
        heed(line)
        said.put(line)

    thread = threading.Thread(target=watch_folders, args=(config, folders, tell, note, over.is_set), daemon=True)
    thread.start()
    try:
        while not said.get(timeout=200).startswith("following"):
            pass
        yield said
    finally:
        over.set()
        thread.join(timeout=200)
    assert not thread.is_alive()


def arrive(path: Path, root: Path, color: str, offset: int) -> None:
    """A picture of a boat comes into a root that is followed, whole: the half of one may be looked at, too."""
    draw(root.parent / "arriving.jpg", color, "boat", offset)
    path.parent.mkdir(exist_ok=True)
    (root.parent / "arriving.jpg").rename(path)


def hear(said: "queue.SimpleQueue[str]", wanted: str) -> list[str]:
    """What is said until a line that holds this; that line last."""
    lines = [said.get(timeout=200)]
    while wanted not in lines[-1]:
        lines.append(said.get(timeout=200))
    return lines


def hear_removed(said: "queue.SimpleQueue[str]", count: int) -> None:
    """Until so many files are said to be removed, by one line or several."""
    while count > 0:
        count -= int(hear(said, " removed")[-1].partition(" removed")[0].rpartition(", ")[-1])
    assert count == 0


def test_watching_takes_changes_in_as_they_come(config: Config, media: Path) -> None:
    with following(config, [media]) as said:
        arrive(media / "boats" / "late.jpg", media, "red", 5)
        assert said.get(timeout=200) == "1 new" and "boats/late.jpg" in found(config)
        (media / "boats" / "late.jpg").rename(media / "trees" / "later.jpg")
        assert set(hear(said, "1 renamed")[:-1]) <= {"1 removed", "nothing new"}
        assert "trees/later.jpg" in found(config)
        shutil.rmtree(media / "trees")
        hear_removed(said, 21)  # at once, or as they go
        assert len(found(config)) == 20


def test_a_root_that_vanishes_is_said_once_and_taken_up_when_it_returns(config: Config, tmp_path: Path) -> None:
    first, second = draw_folder(tmp_path / "first", 4), draw_folder(tmp_path / "second", 4)
    draw(tmp_path / "beside.jpg", "red", "boat", 3)
    index_folders(config, [first, second], silent)
    with following(config, []) as said:
        first.rename(tmp_path / "away")
        hear(said, f"{first} is absent")
        arrive(second / "late.jpg", second, "red", 5)
        assert not [line for line in hear(said, "1 new") if "absent" in line]
        assert "late.jpg" in found(config) and known_roots(Catalog(config)) == [first, second]
        (tmp_path / "away").rename(first)
        hear(said, f"{first} is back")
        arrive(first / "later.jpg", first, "red", 6)
        hear(said, "1 new")
        assert {"late.jpg", "later.jpg"} <= found(config) and "beside.jpg" not in found(config)
    assert known_roots(Catalog(config)) == [first, second]


def test_all_that_is_followed_is_compared_again_after_a_new_watch_began(tmp_path: Path) -> None:
    first, second = draw_folder(tmp_path / "first", 1), draw_folder(tmp_path / "second", 1)
    work = _Work([first, second], lambda line: None)
    both: dict[Path, _Identity] = {first: ((1, 1),), second: ((1, 2),)}
    work.take(both, [])
    assert work.divided() == [(True, [first, second])]
    work.done()
    work.take(both, [])
    assert work.divided() == []
    work.take({second: ((1, 2),)}, [])  # the first went: what changed in the second meanwhile was seen by no watch
    assert work.divided() == [(True, [second])]


def test_new_folders_are_compared_before_those_from_which_their_files_came(tmp_path: Path) -> None:
    """Else another file at the old name of one that moved into them would be taken for it, edited."""
    root = draw_folder(tmp_path / "root", 1)
    work = _Work([root], lambda line: None)
    watched: dict[Path, _Identity] = {root: ((1, 1),)}
    work.take(watched, [])
    work.done()
    (root / "new").mkdir()
    work.take(watched, {(Change.added, str(root / "new")), (Change.modified, str(root / "boats" / "red-000.jpg"))})
    assert work.divided() == [(True, [root / "new"]), (False, [root, root / "boats"])]


@pytest.mark.parametrize(
    ("table", "told"), [("captions.jsonl", ""), ("00000.parquet", ""), ("sub/metadata/metadata_0.parquet", "sub")]
)
def test_a_table_that_changed_has_all_below_compared(tmp_path: Path, table: str, told: str) -> None:
    media = draw_folder(tmp_path / "media", 2)
    (media / table).parent.mkdir(parents=True, exist_ok=True)
    work = _Work([media], lambda line: None)
    watched: dict[Path, _Identity] = {media: ((1, 1),)}
    work.take(watched, [])
    work.done()
    work.take(watched, [(Change.modified, str(media / table))])
    assert (True, [media / told]) in work.divided()


def test_a_drive_within_a_root_that_goes_or_comes_back_is_watched_anew(tmp_path: Path) -> None:
    root = draw_folder(tmp_path / "root", 2)
    drive = root / "drive"
    away = _there([root], [drive])
    drive.mkdir()
    first = _there([root], [drive])
    drive.rename(tmp_path / "kept")
    drive.mkdir()
    assert _there([root], [drive, tmp_path / "elsewhere"]) not in (away, first)
    drive.rmdir()
    assert _there([root], [drive]) == away
    (tmp_path / "kept").rename(drive)
    assert _there([root], [drive]) == first


def test_deletions_are_believed_but_for_those_on_a_drive_that_went(tmp_path: Path) -> None:
    roots = [draw_folder(tmp_path / name, 4) for name in ("one", "two")]
    drive = roots[0] / "drive"
    drive.mkdir()
    watched, work = _there(roots, [drive]), _Work(roots, lambda line: None)
    assert _replaced(watched, [drive]) == []
    files = [roots[0] / "a.jpg", drive / "b.jpg", roots[1] / "c.jpg"]
    told = {(Change.deleted, str(file)) for file in files}
    drive.rmdir()
    work.take(watched, told, _replaced(watched, [drive]))
    assert work.deleted == {str(files[0]), str(files[2])}
    work.done()
    roots[1].rename(tmp_path / "kept")
    work.take(watched, told, _replaced(watched, [drive]))
    assert work.deleted == {str(files[0])}


def test_deletions_between_two_watches_are_believed(config: Config, media: Path) -> None:
    """A new one begins when the place of a drive went; what the last one heard until then counts."""
    draw(media / "drive" / "kept.jpg", "red", "boat", 5)
    index_folders(config, [media], silent)
    with Catalog(config).session() as session:
        session.execute(sa.update(Root).values(mounts=["drive"]))
    (media / "drive" / "kept.jpg").unlink()

    def remove(line: str) -> None:
        if line.startswith("following"):
            (media / "drive").rmdir()
            for path in [*media.rglob("*.jpg")]:
                path.unlink()

    with following(config, [media], remove) as said:
        while found(config) != {"drive/kept.jpg"}:  # told at once or folder by folder
            hear(said, "removed")


def test_a_root_that_goes_while_it_is_first_indexed_is_taken_up_when_it_returns(config: Config, media: Path) -> None:
    away = media.parent / "away"
    told: list[str] = []

    def go(what: str, *_: int) -> None:
        if not told:
            media.rename(away)
        told.append(what)

    gone: list[str] = []
    with following(config, [media], gone.append, go) as said:
        assert f"{media} is gone while its files were being read" in gone[0] and "will be tried again" in gone[0]
        assert f"{media} is absent" in gone[1]
        away.rename(media)
        hear(said, f"{media} is back")
        said.get(timeout=200)  # what was compared
        assert len(found(config)) == 40


def test_what_came_with_a_drive_within_a_root_is_taken_in(config: Config, media: Path, tmp_path: Path) -> None:
    index_folders(config, [media], silent)
    with Catalog(config).session() as session:
        session.execute(sa.update(Root).values(mounts=["boats"]))
    assert drive_places(Catalog(config)) == [media / "boats"]
    (media / "boats").rename(tmp_path / "drive")
    with following(config, [media]) as said:
        draw(tmp_path / "drive" / "late.jpg", "red", "boat", 5)
        (tmp_path / "drive").rename(media / "boats")
        hear(said, "1 new")
        arrive(media / "boats" / "later.jpg", media, "red", 6)
        hear(said, "1 new")
        assert {"boats/late.jpg", "boats/later.jpg"} <= found(config) and len(found(config)) == 42


def test_a_name_that_is_no_text_does_not_end_the_watch(config: Config, media: Path) -> None:
    odd = os.fsencode(media) + b"/d\xff"
    os.mkdir(odd)
    with following(config, [media]) as said:
        arrive(media / "boats" / "late.jpg", media, "red", 5)
        hear(said, "1 new")
        assert "boats/late.jpg" in found(config)
        os.replace(media / "boats" / "late.jpg", odd + b"/late.jpg")
        hear(said, "1 removed")
        arrive(media / "boats" / "later.jpg", media, "red", 7)
        hear(said, "1 new")


def test_links_and_hidden_folders_that_come_are_not_opened(config: Config, media: Path, tmp_path: Path) -> None:
    outside = draw_folder(tmp_path / "outside", 4)
    with following(config, [media]) as said:
        (media / "link").symlink_to(outside)
        draw(media / ".hidden" / "a.jpg", "red", "boat", 5)
        draw(media / ".hidden" / "b.jpg", "red", "boat", 6)
        arrive(media / "seen.jpg", media, "red", 7)
        hear(said, "1 new")
        assert len(found(config)) == 41 and "seen.jpg" in found(config)
    assert known_roots(Catalog(config)) == [media]


def test_a_folder_of_no_root_is_refused_where_only_known_ones_are_meant(config: Config, media: Path) -> None:
    index_folders(config, [media], silent)
    with pytest.raises(InvalidInput, match="lies in no folder of this library"):
        open_root(Catalog(config), media.parent, known=True)
    assert known_roots(Catalog(config)) == [media]
    assert open_root(Catalog(config), media / "boats", known=True)[1] == media / "boats"
