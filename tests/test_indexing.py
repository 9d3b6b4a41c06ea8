"""A whole indexing run: searchable while it goes on, resumable whatever stops it, and nothing done twice."""

import dataclasses
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

import indexer.library
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, Job, Root
from engine.config import Config, IndexSettings
from engine.errors import DiskFull, DriveGone, InvalidInput, LibraryBusy, RebusError
from engine.search import Searcher
from engine.turns import choose
from engine.types import Query, Term
from indexer.dry_run import preview
from indexer.jobs import refusals_explained, writing
from indexer.library import index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, found, silent
from tests.killing import snapshot
from tests.media_files import slow_drawing
from tests.models import write_tiny_model


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder), "batch_size": 8}))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "media", 40)


def places(config: Config) -> dict[str, tuple[int, int, int]]:
    """Item id, shard and row of each present file, by path."""
    query = sa.select(Item.path, Item.id, Embedding.shard, Embedding.row).join(Embedding, Embedding.item_id == Item.id)
    with Catalog(config).session() as session:
        rows = session.execute(query.where(Item.parent_id.is_(None), Item.removed_at.is_(None)))
        return {row.path: (row.id, row.shard, row.row) for row in rows}


def test_the_first_pictures_are_found_while_the_rest_is_indexed(
    config: Config, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer.library, "_SOON_S", 0.0)
    seen: list[tuple[int, int]] = []

    def tell(what: str, done: int, total: int) -> None:
        catalog = Catalog(config)
        if what == "indexing" and done < 40 and catalog.current_version() is not None:
            seen.append((done, len(found(config))))
        catalog.engine.dispose()

    index_folders(config, [media], tell)
    assert seen and all(0 < hits <= 40 for _, hits in seen) and seen[0][1] < 40
    assert len(found(config)) == 40


def test_what_a_run_will_take_is_said_once_it_is_known(
    config: Config, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.jobs._SETTLED_S", 0.0)
    notes: list[str] = []
    index_folders(config, [media], silent, note=notes.append)
    assert len(notes) == 1 and notes[0].startswith("40 files: about") and "of disk to go" in notes[0]


def test_a_job_tells_what_it_read(config: Config, media: Path) -> None:
    (media / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    index_folders(config, [media], silent)
    with Catalog(config).session() as session:
        job = session.scalars(sa.select(Job)).one()
        size = sum(path.stat().st_size for path in media.rglob("*.jpg") if path.name != "broken.jpg")
    assert (job.state, job.files, job.failed, job.bytes) == ("done", 41, 1, size) and job.heartbeat_at > job.started_at


def test_files_can_be_read_again_by_other_settings_and_keep_their_embeddings(config: Config, media: Path) -> None:
    program = media.parent / "tesseract"
    row = "\t".join(["5", *["0"] * 9, "96", "harbour"])
    program.write_text(
        '#!/bin/sh\ncase "$1" in --version) echo tesseract 5.3.0;; --list-langs) echo eng;;\n'
        f'*) cat >/dev/null; printf "{10 * "x"}\\n{row}\\n";; esac\n'
    )
    program.chmod(0o755)
    first, before = index_folders(config, [media], silent), places(config)
    settings = dataclasses.replace(config, media=dataclasses.replace(config.media, ocr=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
        later = index_folders(settings, [media], silent)
        again = index_folders(settings, [media], silent, again=True)
    with Catalog(config).session() as session:
        captions = session.scalars(sa.select(Caption.text).where(Caption.source == "ocr")).all()
    assert (first.embedded - again.embedded, later.embedded) == (40 + 80 - 40, 0)
    assert captions == ["harbour"] * 40 and places(config) == before
    assert again.version is not None and again.version.counts["text"] == 80 + 40


def test_equal_files_are_embedded_once(config: Config, media: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(media / "boats" / "red-000.jpg", media / name)
    index_folders(config, [media], silent)
    shutil.copy(media / "boats" / "red-000.jpg", media / "late.jpg")
    report = index_folders(config, [media], silent)
    there = places(config)
    ids, *vectors = zip(*(there[name] for name in ("boats/red-000.jpg", "a.jpg", "b.jpg", "late.jpg")), strict=True)
    assert len(set(ids)) == 4 and all(len(set(part)) == 1 for part in vectors) and report.embedded == 1
    with Catalog(config).session() as session:
        assert session.scalars(sa.select(EncoderRow.rows)).one() == 40 + 80


def test_equal_files_of_two_batches_are_embedded_once(config: Config, tmp_path: Path) -> None:
    media = tmp_path / "copies"
    for number in range(8):
        draw(media / f"{number:02d}.jpg", "red", "boat", number)
        shutil.copy(media / f"{number:02d}.jpg", media / f"{number + 8:02d}.jpg")
    index_folders(config, [media], silent)  # two batches: the second is begun before the first is written
    there = places(config)
    for number in range(8):
        (one, *vector), (other, *same) = there[f"{number:02d}.jpg"], there[f"{number + 8:02d}.jpg"]
        assert one != other and vector == same
    with Catalog(config).session() as session:
        assert session.scalars(sa.select(EncoderRow.rows)).one() == 8


def test_a_file_moved_to_another_root_keeps_its_id(config: Config, media: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    draw(other / "seen.jpg", "red", "tree", 99)
    index_folders(config, [media, other], silent)
    before = places(config)["boats/red-000.jpg"]
    shutil.move(media / "boats" / "red-000.jpg", other / "moved.jpg")
    report = index_folders(config, [other], silent)  # before its old root is looked at
    assert places(config)["moved.jpg"] == before and report.embedded == 0 and report.scans[0].renamed == 1
    assert index_folders(config, [media], silent).scans[0].removed == 0 and "moved.jpg" in found(config)


def test_a_renamed_folder_keeps_everything(config: Config, media: Path) -> None:
    index_folders(config, [media], silent)
    before = places(config)
    (media / "boats").rename(media / "ships")
    (media / "captions.jsonl").write_text((media / "captions.jsonl").read_text().replace("boats/", "ships/"))
    report = index_folders(config, [media], silent)
    assert (report.scans[0].renamed, report.scans[0].added, report.embedded) == (20, 0, 0)
    assert places(config) == {path.replace("boats/", "ships/"): place for path, place in before.items()}


def test_excluded_and_ignored_files_leave_results(config: Config, media: Path) -> None:
    index_folders(config, [media], silent)
    (media / "trees" / ".rebusignore").write_text("*\n!green-*\n")
    strict = dataclasses.replace(config, index=IndexSettings(exclude=("boats/red*",)))
    report = index_folders(strict, [media], silent)
    left = found(config)
    assert not any("boats/red" in path for path in left) and report.scans[0].removed == 5 + 15
    assert {path for path in left if path.startswith("trees")} == {
        path for path in left if path.startswith("trees/green")
    }
    (media / "trees" / ".rebusignore").unlink()
    assert index_folders(config, [media], silent).scans[0].renamed == 20 and len(found(config)) == 40


def test_a_new_encoder_embeds_beside_serving_and_says_what_it_takes(
    config: Config, media: Path, tmp_path: Path
) -> None:
    index_folders(config, [media], silent)
    (tmp_path / "other").mkdir()
    other = dataclasses.replace(config.encoder, model=str(write_tiny_model(tmp_path / "other", seed=1)))
    notes: list[str] = []
    served: set[int] = set()
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)

    def tell(what: str, done: int, total: int) -> None:
        if what == "embedding what waits":
            assert total == 120
            served.add(len(searcher.search(Query((Term(text="a red boat"),), limit=100, fold=False)).hits))

    report = index_folders(dataclasses.replace(config, encoder=other), [media], tell, note=notes.append)
    catalog.engine.dispose()
    assert served == {40} and report.embedded == 120 and len(found(config)) == 40
    assert notes[0].startswith("a new encoder: 120 items are embedded anew") and "are free" in notes[0]
    notes.clear()
    index_folders(config, [media], silent, note=notes.append)  # all was embedded with the first one
    assert notes == [] and len(found(config)) == 40


def test_failed_files_are_tried_again_when_asked(config: Config, media: Path) -> None:
    (media / "broken.jpg").write_bytes(b"\xff\xd8 broken")
    index_folders(config, [media], silent)
    assert index_folders(config, [media], silent).scans[0].changed == 0
    report = index_folders(config, [media], silent, retry=True)
    assert report.scans[0].changed == 1 and report.failures == 1


def test_without_folders_all_known_ones_are_indexed_and_an_absent_drive_is_told(
    config: Config, media: Path, tmp_path: Path
) -> None:
    drive = draw_folder(tmp_path / "drive", 8)
    with pytest.raises(InvalidInput, match="no folders yet"):
        index_folders(config, [], silent)
    index_folders(config, [media, drive], silent)
    before = places(config)
    drive.rename(tmp_path / "away")
    draw(media / "new.jpg", "blue", "boat", 3)
    notes, foreseen = list[str](), list[str]()
    (scan,) = preview(config, [], note=foreseen.append)
    report = index_folders(config, [], silent, note=notes.append)
    assert report.scans == [scan] and scan.added == 1
    assert foreseen[0] == notes[0] and f"{drive} is absent or empty" in notes[0]
    assert places(config).items() >= before.items()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(config: Config, media: Path) -> None:
    config = dataclasses.replace(config, home=config.home.parent / "none")
    report = preview(config, [media])[0]
    assert (report.found, report.added) == (40, 40) and not config.home.exists()
    index_folders(config, [media], silent)
    before = snapshot(config)
    (media / "boats" / "red-000.jpg").rename(media / "moved.jpg")
    (media / "boats" / "red-008.jpg").unlink()
    draw(media / "new.jpg", "blue", "boat", 3)
    report = preview(config, [])[0]
    assert (report.added, report.renamed, report.removed) == (1, 1, 1) and snapshot(config) == before


# --- what stops a run ---


def test_a_drive_that_goes_away_loses_nothing(config: Config, media: Path, tmp_path: Path) -> None:
    for number in range(160):  # more than are decoded ahead
        draw(media / "more" / f"{number}.jpg", "green", "boat", number, (96 + number, 72))
    calm = dataclasses.replace(config, home=tmp_path / "calm")
    index_folders(calm, [media], silent)

    def tell(what: str, done: int, total: int) -> None:
        if done == 8 and media.exists():
            media.rename(tmp_path / "away")

    with pytest.raises(DriveGone, match="Nothing that was finished is lost"):
        index_folders(config, [media], tell)
    kept = places(config)
    assert 8 <= len(kept) < 200
    (tmp_path / "away").rename(media)
    index_folders(config, [media], silent)
    assert places(config).items() >= kept.items() and len(places(config)) == 200
    assert snapshot(config) == snapshot(calm)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own at a folder, where this process may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size", ["400k", "700k", "1000k"])
def test_a_full_disk_stops_with_a_clear_message_and_the_run_goes_on_when_there_is_room(
    config: Config, media: Path, tmp_path: Path, size: str
) -> None:
    calm = dataclasses.replace(config, home=tmp_path / "calm")
    index_folders(calm, [media], silent)
    with small_disk(tmp_path / "disk", size):
        full = dataclasses.replace(config, home=tmp_path / "disk" / "home")
        with pytest.raises(DiskFull, match="make room"):
            index_folders(full, [media], silent)
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path / "disk")], check=True)
        index_folders(full, [media], silent)
        assert snapshot(full) == snapshot(calm)


def test_a_database_locked_by_another_program_is_told(config: Config, media: Path) -> None:
    index_folders(config, [media], silent)
    catalog = Catalog(config)
    impatient = sa.create_engine(catalog.url, connect_args={"timeout": 0.05})
    other = sqlite3.connect(config.home / "catalog.db")
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(LibraryBusy, match="end that program"), refusals_explained(catalog):
            with impatient.begin() as connection:
                connection.execute(sa.text("DELETE FROM jobs"))
    finally:
        other.close()
        impatient.dispose()


def test_a_locked_database_is_told_outside_of_jobs_too(config: Config, media: Path) -> None:
    index_folders(config, [media], silent)
    catalog = Catalog(config)
    catalog.engine.dispose()
    sa.event.listen(catalog.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=50"))
    with closing(sqlite3.connect(config.home / "catalog.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryBusy, match="end that program"):
            choose(catalog, 1)
    assert choose(catalog, 1).id == 1
    catalog.engine.dispose()


def test_ctrl_c_inside_a_statement_ends_at_once_and_the_job_says_so(config: Config) -> None:
    catalog = Catalog(config, create=True)

    def interrupt(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "INSERT INTO roots" in statement:
            raise KeyboardInterrupt

    sa.event.listen(catalog.engine, "after_cursor_execute", interrupt)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), writing(catalog, "index", silent), catalog.session() as session:
        session.add(Root(path="/media"))
    assert time.monotonic() - began < 10  # SQLite waits for a lock for fifteen seconds
    with catalog.session() as session:
        assert session.scalars(sa.select(Job.state)).all() == ["interrupted"]
        assert session.scalars(sa.select(Root.path)).all() == []


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(config: Config, media: Path) -> None:
    (media / "zoo").mkdir()
    slow = slow_drawing(media / "zoo" / "slow.svg")  # the last, with which the run is busy when it is interrupted
    command = [sys.executable, "-m", "rebus", "--home", str(config.home), "index", str(media)]
    settings = {"REBUS_ENCODER_MODEL": config.encoder.model, "REBUS_ENCODER_BATCH_SIZE": "8"}
    environment = {**os.environ, **settings, "REBUS_MEDIA_MAX_SECONDS": "600"}
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    kept: dict[str, tuple[int, int, int]] = {}
    while not kept:
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"it ended by itself: {run.wait(0.1)}")
        with suppress(RebusError):  # until there is a library
            kept = places(config)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 130 and "the same command goes on" in said
    slow.unlink()
    kept = places(config)
    again = index_folders(config, [media], silent)
    assert len(places(config)) == 40 and places(config).items() >= kept.items()
    assert len(kept) + again.embedded <= 40 + 80  # captions may have been embedded before the end, too
    assert again.version is not None and again.version.counts["image"] == 40
