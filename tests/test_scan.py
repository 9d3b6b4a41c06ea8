"""Scanning and indexing real folders: what is new, changed, renamed, gone, and what cannot be used."""

import dataclasses
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.catalog import Catalog, Embedding, Item
from engine.config import Config, MediaSettings
from engine.errors import InvalidInput
from engine.search import Searcher
from engine.status import failures, summarize
from engine.types import Modality, Query, Term
from indexer.library import IndexReport, index_folders
from tests.catalogs import begin
from tests.conftest import config_at, draw, draw_folder, silent


@pytest.fixture
def config(tmp_path: Path, encoder_folder: Path) -> Config:
    return begin(config_at(tmp_path / "home", encoder={"model": str(encoder_folder)}))


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "media", 12)


def index(config: Config, *folders: Path) -> IndexReport:
    return index_folders(config, folders, silent)


def items(config: Config) -> dict[str, int]:
    """Present files by path."""
    with Catalog(config).session() as session:
        query = sa.select(Item.path, Item.id).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        return dict(session.execute(query).tuples().all())


def embedding_ids(config: Config) -> set[int]:
    with Catalog(config).session() as session:
        return set(session.scalars(sa.select(Embedding.id)))


def failures_of(config: Config, media: Path) -> dict[str, str]:
    """Index, and the reason of each failure by path."""
    index(config, media)
    return {row["path"]: row["reason"] for row in failures(Catalog(config))}


def found(config: Config, **query: Any) -> set[str]:
    results = Searcher(config, Catalog(config)).search(
        Query((Term(text="a red boat"),), limit=100, fold=False, **query)
    )
    return {hit.path for hit in results.hits}


def test_a_second_run_touches_nothing(config: Config, media: Path) -> None:
    first = index(config, media)
    before = items(config), embedding_ids(config), sorted(config.home.glob("versions/*/*"))
    second = index(config, media)
    assert (items(config), embedding_ids(config), sorted(config.home.glob("versions/*/*"))) == before
    assert (first.scans[0].added, second.scans[0].added, second.embedded) == (12, 0, 0)
    assert first.version is not None and second.version is not None
    assert first.version.id == second.version.id


def test_the_first_run_that_comes_to_its_end_is_told_from_later_ones(config: Config, media: Path) -> None:
    def stop(what: str, *_: int) -> None:
        if what == "indexing image":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index_folders(config, [media], stop)
    assert index(config, media).first
    draw(media / "new.jpg", "red", "boat", 1)
    assert not index(config, media).first


def test_a_touched_file_with_the_same_content_is_not_embedded_again(config: Config, media: Path) -> None:
    index(config, media)
    before = embedding_ids(config)
    os.utime(media / "boats" / "red-000.jpg", (1, 1))
    report = index(config, media)
    assert report.scans[0].changed == 0 and embedding_ids(config) == before


def test_an_edited_file_keeps_its_id_and_is_embedded_again(config: Config, media: Path) -> None:
    index(config, media)
    before = items(config)
    draw(media / "boats" / "red-000.jpg", "green", "tree", 3, (120, 90))
    report = index(config, media)
    assert report.scans[0].changed == 1 and items(config) == before
    item = Catalog(config).item(before["boats/red-000.jpg"]).item
    assert (item.width, item.height) == (120, 90)
    assert "boats/red-000.jpg" in found(config)


def test_a_renamed_file_keeps_its_id_embedding_and_captions(config: Config, media: Path) -> None:
    index(config, media)
    old = items(config)["boats/red-000.jpg"]
    captions = [caption.id for caption in Catalog(config).captions_of(old)]
    (media / "boats" / "red-000.jpg").rename(media / "red-000.jpg")
    table = media / "captions.jsonl"
    table.write_text(table.read_text().replace("boats/red-000.jpg", "red-000.jpg"))
    report = index(config, media)
    assert (report.scans[0].renamed, report.scans[0].added, report.embedded) == (1, 0, 0)
    assert items(config)["red-000.jpg"] == old
    assert [caption.id for caption in Catalog(config).captions_of(old)] == captions
    assert {"red-000.jpg"} <= found(config) and "boats/red-000.jpg" not in found(config)
    assert "red-000.jpg" in found(config, modality=Modality.TEXT)


def test_a_removed_file_leaves_results_and_comes_back_with_its_id(config: Config, media: Path, tmp_path: Path) -> None:
    index(config, media)
    old = items(config)["trees/red-004.jpg"]
    shutil.move(media / "trees" / "red-004.jpg", tmp_path / "kept.jpg")
    assert index(config, media).scans[0].removed == 1
    assert "trees/red-004.jpg" not in found(config) | found(config, modality=Modality.TEXT)
    shutil.move(tmp_path / "kept.jpg", media / "trees" / "red-004.jpg")
    report = index(config, media)
    assert (report.scans[0].renamed, report.embedded) == (1, 0)
    assert items(config)["trees/red-004.jpg"] == old and "trees/red-004.jpg" in found(config)


def test_an_emptied_folder_marks_nothing_removed(config: Config, media: Path) -> None:
    index(config, media)
    before = items(config)
    shutil.rmtree(media)
    media.mkdir()
    report = index(config, media)
    assert items(config) == before and "nothing was marked removed" in report.scans[0].notes[0]


def test_a_missing_folder_or_a_file_is_an_error_that_says_so(config: Config, media: Path) -> None:
    with pytest.raises(InvalidInput, match="Is the drive mounted"):
        index(config, media / "nowhere")
    with pytest.raises(InvalidInput, match="name the folder it is in"):
        index(config, media / "boats" / "red-000.jpg")


def test_a_subfolder_of_a_root_is_indexed_alone_and_sees_the_captions_above(config: Config, media: Path) -> None:
    index(config, media)
    before = items(config)
    draw(media / "trees" / "new.jpg", "red", "tree", 1)
    draw(media / "boats" / "new.jpg", "red", "boat", 1)
    report = index(config, media / "trees")
    assert report.scans[0].added == 1 and report.scans[0].removed == 0
    assert set(items(config)) == {*before, "trees/new.jpg"}
    assert len(Catalog(config).captions_of(before["trees/red-004.jpg"])) == 2


def test_a_folder_above_a_root_takes_it_in(config: Config, media: Path) -> None:
    index(config, media / "boats")
    before = items(config)
    report = index(config, media)
    after = items(config)
    assert {f"boats/{path}": item_id for path, item_id in before.items()}.items() <= after.items()
    assert len(summarize(Catalog(config))["roots"]) == 1 and report.scans[0].added == 12 - len(before)


def test_changed_captions_replace_the_old_ones(config: Config, media: Path) -> None:
    index(config, media)
    item = items(config)["boats/blue-001.jpg"]
    kept = Catalog(config).captions_of(item)[0]
    table = media / "captions.jsonl"
    table.write_text(table.read_text().replace("the boat is blue, number 1", "a small ship"))
    (media / "boats" / "blue-001.txt").write_text("a vessel at sea\n\nsails\n")
    index(config, media)
    captions = Catalog(config).captions_of(item)
    assert [c.text for c in captions] == ["a blue boat", "a vessel at sea", "sails", "a small ship"]
    assert captions[0].id == kept.id
    assert "the boat is blue, number 1" not in {
        hit.caption
        for hit in Searcher(config, Catalog(config)).search(Query((Term(text="boat"),), Modality.TEXT, limit=100)).hits
    }


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def hostile_folder(folder: Path, outside: Path) -> dict[str, str]:
    """Put every kind of unusable file into a folder; what the reason of each must say."""
    whole = (folder / "boats" / "red-000.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "huge.png").write_bytes(png_header(40_000, 40_000))
    (folder / "words.jpg").write_text("these are words, not a picture")
    (folder / "empty.jpg").touch()
    (folder / "broken-link.jpg").symlink_to(folder / "nowhere.jpg")
    draw(outside / "private.jpg", "red", "boat", 0)
    (folder / "out.jpg").symlink_to(outside / "private.jpg")
    (folder / "out-folder").symlink_to(outside)
    os.mkfifo(folder / "pipe.jpg")
    with open(os.fsencode(folder) + b"/caf\xe9.jpg", "wb") as file:
        file.write(whole)
    return {
        "truncated.jpg": "truncated",
        "huge.png": "1,600 megapixels",
        "words.jpg": "not a picture",
        "empty.jpg": "empty",
        "broken-link.jpg": "broken link",
        "out.jpg": "out of the media folder",
        "out-folder": "out of the media folder",
        "pipe.jpg": "not a regular file",
        "caf\\xe9.jpg": "not valid UTF-8",
    }


def test_each_unusable_file_is_listed_with_its_reason_and_the_rest_is_indexed(
    config: Config, media: Path, tmp_path: Path
) -> None:
    expected = hostile_folder(media, tmp_path / "outside")
    report = index(config, media)
    listed = {row["path"]: row["reason"] for row in failures(Catalog(config))}
    assert listed.keys() == expected.keys() and report.failures == len(expected)
    for path, words in expected.items():
        assert words in listed[path], f"{path}: {listed[path]}"
    assert len(items(config)) == 12 and report.version is not None and report.version.counts["image"] == 12
    again = index(config, media)
    assert again.embedded == 0 or again.failures == len(expected)
    assert {row["path"] for row in failures(Catalog(config))} == expected.keys()


def test_a_mended_file_is_indexed_and_its_failure_forgotten(config: Config, media: Path) -> None:
    (media / "late.jpg").write_text("not yet a picture")
    (media / "late.txt").write_text("a late boat")
    assert index(config, media).failures == 1
    draw(media / "late.jpg", "red", "boat", 5)
    report = index(config, media)
    assert report.failures == 0 and "late.jpg" in found(config)
    assert [c.text for c in Catalog(config).captions_of(items(config)["late.jpg"])] == ["a late boat"]


def test_a_file_that_broke_leaves_results(config: Config, media: Path) -> None:
    index(config, media)
    (media / "boats" / "red-000.jpg").write_bytes(b"\xff\xd8 spoiled")
    assert index(config, media).failures == 1
    assert "boats/red-000.jpg" not in found(config) | found(config, modality=Modality.TEXT)


def test_what_could_not_be_read_is_tried_again_without_a_change(config: Config, media: Path) -> None:
    picture = media / "boats" / "red-000.jpg"
    strict = dataclasses.replace(config, media=MediaSettings(max_bytes=picture.stat().st_size - 1))
    assert "over the limit" in failures_of(strict, media)["boats/red-000.jpg"]
    assert index(config, media).failures == 0 and "boats/red-000.jpg" in items(config)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission_is_a_failure_until_it_may_be_read(config: Config, media: Path) -> None:
    secret = media / "boats" / "red-000.jpg"
    secret.chmod(0)
    assert "no permission" in failures_of(config, media)["boats/red-000.jpg"]
    secret.chmod(0o644)
    assert index(config, media).failures == 0 and "boats/red-000.jpg" in items(config)
