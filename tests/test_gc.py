"""What gc frees, what it keeps, and that a library and its searchers live through it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from filelock import FileLock

from engine.catalog import Base, Catalog, Embedding, EncoderRow, Failure, IndexVersion, Item, Root
from engine.config import Config
from engine.errors import LibraryBusy
from engine.search import Searcher
from engine.types import Modality, Query, Results, Term
from indexer.care.collect import Collected, collect
from indexer.care.doctor import examine, healthy
from tests.made_library import (
    add_files,
    embed_all,
    remove_files,
    silent,
    snapshot,
    unit_rows,
    vectors,
)

GONE = ["0/000.jpg", "1/001.jpg", "2/002.jpg"]


@pytest.fixture
def catalog(config: Config) -> Iterator[Catalog]:
    catalog = Catalog(config)
    yield catalog
    catalog.engine.dispose()


def gc(config: Config, **options: Any) -> Collected:
    return collect(config, silent, **options)


def count(catalog: Catalog, table: type[Base]) -> int:
    with catalog.session() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def change(catalog: Catalog, statement: Any) -> None:
    with catalog.session() as session:
        session.execute(statement)


def nearest(searcher: Searcher, item: int, limit: int = 5) -> Results:
    return searcher.search(Query((Term(item=item),), Modality.IMAGE, limit=limit, exact=True))


def test_the_catalog_shrinks_when_much_of_it_is_free(config: Config, catalog: Catalog) -> None:
    file = config.home / "catalog.db"
    reader = Searcher(config, catalog)
    names = [f"{'more' * 50}/{number:04d}.jpg" for number in range(400)]
    add_files(config, file.parent.parent / "media1", names)
    with catalog.engine.connect() as connection:
        connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    large = file.stat().st_size
    remove_files(config, names)
    report = gc(config)
    assert large > 2**20 and file.stat().st_size < large / 2 and report.bytes > large - file.stat().st_size
    assert not report.notes and healthy(examine(config))
    assert nearest(reader, 1).hits[0].id == 1


# --- what is forgotten ---


def test_removed_files_go_with_all_that_is_known_of_them(config: Config, catalog: Catalog) -> None:
    remove_files(config, GONE)
    before = vectors(config)
    report = gc(config)
    assert (report.items, report.rows, report.thumbnails) == (9, 9, 3) and report.bytes > 0
    with catalog.session() as session:
        assert session.scalar(sa.select(Item.id).where(Item.removed_at.is_not(None))) is None
    counts = {table.name: count(catalog, mapper.class_) for mapper in Base.registry.mappers for table in mapper.tables}
    kept = {"items": 27, "captions": 18, "facts": 9, "keywords": 9, "marks": 9, "embeddings": 27}
    assert {name: counts[name] for name in kept} == kept
    after = vectors(config)
    assert after == {item: before[item] for item in after} and len(after) == 27
    assert healthy(examine(config))


def test_a_second_run_finds_nothing(config: Config) -> None:
    remove_files(config, GONE)
    gc(config)
    before = snapshot(config)
    assert gc(config) == Collected()
    assert snapshot(config) == before


def test_what_was_removed_lately_stays_when_asked(config: Config, catalog: Catalog) -> None:
    remove_files(config, GONE[:1], days_ago=40)
    remove_files(config, GONE[1:], days_ago=2)
    assert gc(config, older_than_days=30).items == 3
    with catalog.session() as session:
        left = set(session.scalars(sa.select(Item.path).where(Item.removed_at.is_not(None))))
    assert left == set(GONE[1:])
    assert len(list(config.home.glob("thumbs/*/*.jpg"))) == 11  # a tombstone's thumbnail waits with it


def test_a_removed_caption_of_a_present_file_goes_alone(config: Config, catalog: Catalog) -> None:
    change(catalog, sa.update(Item).where(Item.id == 2).values(removed_at=time.time()))
    assert gc(config).items == 1
    assert count(catalog, Item) == 35 and 2 not in vectors(config)


def test_a_failed_file_that_is_still_there_keeps_its_tombstone(config: Config, catalog: Catalog) -> None:
    with catalog.session() as session:
        media = Path(session.get_one(Root, 1).path)
    remove_files(config, GONE)
    (media / GONE[0]).write_bytes(b"broken")
    with catalog.session() as session:
        for path in GONE[:2]:
            item = session.scalar(sa.select(Item.id).where(Item.path == path, Item.parent_id.is_(None)))
            facts = {"stage": "decode", "reason": "it is broken", "hint": "none"}
            session.add(Failure(root_id=1, item_id=item, path=path, **facts))
    assert gc(config).items == 6
    with catalog.session() as session:
        assert set(session.scalars(sa.select(Item.path).where(Item.removed_at.is_not(None)))) == {GONE[0]}
        assert list(session.scalars(sa.select(Failure.path))) == [GONE[0]]


def test_failed_files_of_a_drive_that_is_away_keep_theirs(config: Config, catalog: Catalog) -> None:
    remove_files(config, GONE)
    with catalog.session() as session:
        root = session.get_one(Root, 1)
        root.path += "-unmounted"
        session.add(Failure(root_id=1, item_id=1, path=GONE[0], stage="read", reason="rights", hint="none"))
    assert gc(config).items == 6 and count(catalog, Failure) == 1


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({1: 1, 4: 1, 7: 1}, {4: 4, 7: 4}),  # the first goes: the next names the group
        ({1: 1, 4: 1}, {4: None}),  # one is left, alone
        ({10: 10, 1: 10}, {10: None}),
        ({10: 10, 13: 10, 1: 10}, {10: 10, 13: 10}),
    ],
)
def test_groups_of_duplicates_are_left_in_order(
    config: Config, catalog: Catalog, groups: dict[int, int], expected: dict[int, int | None]
) -> None:
    for item, group in groups.items():
        change(catalog, sa.update(Item).where(Item.id == item).values(group_id=group))
    remove_files(config, GONE[:1])
    gc(config)
    with catalog.session() as session:
        left = session.execute(sa.select(Item.id, Item.group_id).where(Item.id.in_(groups))).tuples().all()
    assert dict(left) == expected


def test_a_dry_run_changes_nothing_and_foretells(config: Config) -> None:
    remove_files(config, GONE)
    (config.home / "versions" / "000077").mkdir()
    before = snapshot(config)
    foretold = gc(config, dry_run=True)
    assert snapshot(config) == before
    done = gc(config)
    assert (foretold.items, foretold.rows, foretold.thumbnails, foretold.leftovers) == (9, 9, 3, 1)
    assert (done.items, done.rows, done.thumbnails, done.leftovers) == (9, 9, 3, 1)


def test_thumbnails_of_shared_contents_stay(config: Config, catalog: Catalog) -> None:
    shared = sa.select(Item.content_hash).where(Item.id == 1).scalar_subquery()
    change(catalog, sa.update(Item).where(Item.id == 13).values(content_hash=shared))
    remove_files(config, GONE[:1])
    assert gc(config, dry_run=True).thumbnails == gc(config).thumbnails == 1  # of what item 13 held before


def test_nothing_is_touched_while_another_process_writes(config: Config) -> None:
    remove_files(config, GONE)
    before = snapshot(config)
    with FileLock(config.home / "write.lock"), pytest.raises(LibraryBusy):
        gc(config)
    assert snapshot(config) == before


# --- compaction ---


def test_few_dead_rows_are_left_and_said(config: Config) -> None:
    remove_files(config, GONE[:1])
    report = gc(config)
    assert (report.items, report.rows, report.dead) == (3, 0, 3)
    assert not list(config.home.glob("embeddings/*-1"))


def test_damaged_rows_are_not_compacted_as_if_they_were_whole(config: Config) -> None:
    shard = next(config.home.glob("embeddings/*/*.f16"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    remove_files(config, GONE)
    report = gc(config)
    assert report.rows == 0 and any("rebus doctor --deep --repair" in text for text in report.notes)
    assert shard.read_bytes() == data


def test_items_that_share_a_vector_share_it_after(config: Config, catalog: Catalog) -> None:
    place = sa.select(Embedding.row).where(Embedding.item_id == 19).scalar_subquery()
    change(catalog, sa.update(Embedding).where(Embedding.item_id.in_([10, 13, 16])).values(row=place))
    remove_files(config, GONE)
    before = vectors(config)
    assert gc(config).rows == 12  # nine of what was removed, three that nobody points to
    after = vectors(config)
    assert after == {item: before[item] for item in after} and {10, 13, 16, 19} <= set(after)
    with catalog.session() as session:
        assert session.get_one(EncoderRow, 1).rows == 24
        places = session.execute(sa.select(Embedding.row).where(Embedding.item_id.in_([10, 13, 16]))).scalars()
        assert len(set(places)) == 1


def test_only_the_new_generation_is_left(config: Config, catalog: Catalog) -> None:
    remove_files(config, GONE)
    gc(config)
    assert [path.name for path in (config.home / "embeddings").iterdir()] == ["0123456789abcdef-1"]
    version = catalog.current_version()
    assert version is not None and version.generation == 1
    assert [f"versions/{path.name}" for path in (config.home / "versions").iterdir()] == [version.folder]
    add_files(config, config.home.parent / "media1", ["new.jpg"])  # and indexing goes on in it
    remove_files(config, ["0/003.jpg", "1/004.jpg", "2/005.jpg"])
    gc(config)
    assert [path.name for path in (config.home / "embeddings").iterdir()] == ["0123456789abcdef-2"]
    assert healthy(examine(config, deep=False))


def test_an_emptied_library_stays_one(config: Config) -> None:
    remove_files(config, [f"{number % 3}/{number:03d}.jpg" for number in range(12)])
    assert gc(config).items == 36
    assert healthy(examine(config)) and nearest_of_words(config) == []


def nearest_of_words(config: Config) -> list[int]:
    """What a searcher of its own version's first item finds."""
    catalog = Catalog(config)
    with catalog.session() as session:
        first = session.scalar(sa.select(Item.id).limit(1))
    hits = nearest(Searcher(config, catalog), first).hits if first else ()
    catalog.engine.dispose()
    return [hit.id for hit in hits]


@pytest.mark.parametrize("mapped", [False, True])
def test_a_searcher_that_serves_meanwhile_goes_on(config: Config, catalog: Catalog, mapped: bool) -> None:
    """Its shards are deleted under it, whether it has read from them or not."""
    searcher = Searcher(config, catalog)
    assert searcher.version.generation == 0
    remove_files(config, GONE)
    if mapped:
        searcher.refresh()
        before = nearest(searcher, 16)
    gc(config)
    after = nearest(searcher, 16)
    assert after.hits[0].id == 16 and after.hits[0].order > 0.999
    if mapped:
        assert [(hit.id, hit.score) for hit in after.hits] == [(hit.id, hit.score) for hit in before.hits]
    searcher.refresh()
    assert searcher.version.generation == 1 and nearest(searcher, 16).hits == after.hits


def test_a_searcher_of_the_old_generation_reads_no_place_of_the_new(config: Config, catalog: Catalog) -> None:
    searcher = Searcher(config, catalog)
    nearest(searcher, 16)  # the old shards stay mapped
    remove_files(config, GONE)
    gc(config)
    new = add_files(config, config.home.parent / "media1", ["new.jpg"])[0]
    hits = nearest(searcher, new, 9).hits
    own = unit_rows(1, new)[0]
    assert len(hits) >= 5
    for hit in hits:
        assert hit.score == pytest.approx(float(own @ unit_rows(1, hit.id)[0]), abs=2e-3)
    searcher.refresh()
    assert nearest(searcher, new).hits[0].id == new


# --- encoders that nothing uses ---


@pytest.fixture
def second(config: Config, catalog: Catalog) -> EncoderRow:
    """Another encoder that embedded everything and was never published."""
    row = EncoderRow(fingerprint="f" * 32, spec="/models/second", dim=16)
    with catalog.session() as session:
        session.add(row)
    assert embed_all(catalog, row.id) == 36
    return row


def test_embeddings_of_an_unused_encoder_go_only_when_asked(
    config: Config, catalog: Catalog, second: EncoderRow
) -> None:
    assert gc(config) == Collected() and count(catalog, Embedding) == 72
    report = gc(config, encoders=True)
    assert report.encoders == ["/models/second"] and report.bytes == 36 * (32 + 8)
    assert count(catalog, Embedding) == 36 and count(catalog, EncoderRow) == 2
    assert not (config.home / "embeddings" / ("f" * 16)).exists()
    assert embed_all(catalog, second.id) == 36  # and it can embed again
    assert healthy(examine(config))


def test_the_encoder_that_the_settings_name_keeps_its_embeddings(
    config: Config, catalog: Catalog, second: EncoderRow
) -> None:
    chosen = replace(config, encoder=replace(config.encoder, model="/models/second"))
    assert gc(chosen, encoders=True).encoders == [] and count(catalog, Embedding) == 72


def test_compacting_another_encoder_publishes_nothing_of_it(
    config: Config, catalog: Catalog, second: EncoderRow
) -> None:
    remove_files(config, GONE)
    gc(config)
    with catalog.session() as session:
        rows = {row.id: (row.rows, row.generation) for row in session.scalars(sa.select(EncoderRow))}
        assert rows == {1: (27, 1), second.id: (27, 1)}
        assert set(session.scalars(sa.select(IndexVersion.encoder_id))) == {1}
    assert healthy(examine(config))


# --- kills ---


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_kills_at_random_moments_leave_a_working_library_and_the_next_run_finishes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.gc_killing", str(tmp_path), "6", "5"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert said["wrong"] == [] and said["kills"] >= 6 and said["rows"] == 45
