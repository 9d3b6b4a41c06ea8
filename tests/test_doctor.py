"""Every kind of damage is found and named, the safe repairs mend it, and a healthy library has no finding to act on."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from filelock import FileLock

import rebus
from engine.artifacts import read_manifest
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Failure, IndexVersion, Item, Job
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.care.doctor import examine, healthy, lines, repair
from indexer.care.findings import Finding, Level
from indexer.library import index_folders
from tests.made_library import DIM, embed_all, silent, snapshot
from tests.web_library import copy_library

Damage = Callable[[Config], None]


def change(config: Config, statement: Any) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        session.execute(statement)
    catalog.engine.dispose()


def found(findings: list[Finding], level: Level) -> str:
    return "\n".join(f"{finding.what} -> {finding.repair}" for finding in findings if finding.level is level)


def shard(config: Config) -> Path:
    return next(config.home.glob("embeddings/*/000000.f16"))


# --- damage that is mended ---


def cut_shard(config: Config) -> None:
    os.truncate(shard(config), 20 * 2 * DIM + 7)


def lose_shards(config: Config) -> None:
    shutil.rmtree(config.home / "embeddings")


def point_past_the_end(config: Config) -> None:
    change(config, sa.update(Embedding).where(Embedding.item_id == 4).values(row=1000))


def point_to_a_shard_that_is_not(config: Config) -> None:
    change(config, sa.update(Embedding).where(Embedding.item_id == 4).values(shard=-1))


def spoil_vectors(config: Config) -> None:
    rows = np.fromfile(shard(config), "<f2").reshape(-1, DIM)
    rows[0, 3], rows[1] = np.nan, rows[1] * 3
    rows.tofile(shard(config))


def lose_checksums(config: Config) -> None:
    shard(config).with_suffix(".sums").unlink()


def spoil_old_vectors(config: Config) -> None:
    spoil_vectors(config)
    lose_checksums(config)


def flip_a_bit(config: Config) -> None:
    data = bytearray(shard(config).read_bytes())
    data[5 * 2 * DIM] ^= 1  # the last bit of a number: the row is as long as it was
    shard(config).write_bytes(data)


def alter_version(config: Config) -> None:
    path = config.home / "versions" / "000001" / "image.codes.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def lose_version_file(config: Config) -> None:
    (config.home / "versions" / "000001" / "text.ids.npy").unlink()


def lose_manifest(config: Config) -> None:
    (config.home / "versions" / "000001" / "manifest.json").write_text("{")


def lose_version(config: Config) -> None:
    shutil.rmtree(config.home / "versions" / "000001")


def mix_encoders(config: Config) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        session.add(EncoderRow(fingerprint="f" * 32, spec="open_clip:another/one", dim=DIM))
        session.flush()
    assert embed_all(catalog, 2) == 36
    catalog.engine.dispose()
    change(config, sa.update(IndexVersion).values(encoder_id=2))


def name_a_folder_outside(config: Config) -> None:
    change(config, sa.update(IndexVersion).values(folder="../media1"))


def drop_rows(config: Config, *where: str) -> None:
    with sqlite3.connect(config.home / "catalog.db") as database:  # foreign keys are off here
        for rows in where:
            database.execute(f"DELETE FROM {rows}")
    database.close()


def drop_item_alone(config: Config) -> None:
    drop_rows(config, "captions WHERE owner_id = 1 OR id = 2", "items WHERE id = 2")


def drop_the_item_of_a_caption(config: Config) -> None:
    drop_rows(config, "items WHERE id = 2")


def drop_a_file_alone(config: Config) -> None:
    drop_rows(config, "items WHERE id = 1")


def lose_words(config: Config) -> None:
    with sqlite3.connect(config.home / "catalog.db") as database:
        database.execute("DROP TRIGGER words_caption_changed")
        database.execute("UPDATE captions SET text = 'other words' WHERE owner_id = 1")
    database.close()


@pytest.mark.parametrize(
    ("damage", "words", "lost"),
    [
        (cut_shard, "hold 20 of 36 rows: 16 embeddings are lost", 16),
        (lose_shards, "hold 0 of 36 rows: 36 embeddings are lost", 36),
        (point_past_the_end, "1 embedding points past the 36 rows", 1),
        (point_to_a_shard_that_is_not, "1 embedding points past the 36 rows", 1),
        (spoil_vectors, "2 embeddings", 2),
        (spoil_old_vectors, "2 embeddings in .* are no vectors of unit length", 2),
        (flip_a_bit, "1 embedding in .* is not what was written", 1),
        (alter_version, "image.codes.npy is missing or was altered", 0),
        (lose_version_file, "text.ids.npy is missing or was altered", 0),
        (lose_manifest, "version 1 is damaged", 0),
        (lose_version, "version 1 is damaged", 0),
        (mix_encoders, "belongs to another encoder", 0),
        (name_a_folder_outside, "is no folder of versions", 0),
        (drop_item_alone, "1 row of embeddings points to rows of items that are not there", 0),
        (drop_the_item_of_a_caption, "1 row of captions points to rows of items that are not there", 1),
        (drop_a_file_alone, "2 rows of items point to rows of items that are not there", 0),
        (lose_words, "full-text index holds other words", 0),
    ],
)
def test_damage_is_named_and_mended(config: Config, damage: Damage, words: str, lost: int) -> None:
    damage(config)
    deep = damage in (spoil_vectors, spoil_old_vectors, flip_a_bit, lose_words)
    findings = examine(config, deep)
    assert re.search(words, found(findings, Level.PROBLEM)) and not healthy(findings)
    assert all(finding.repair for finding in findings if finding.level is Level.PROBLEM)
    repair(config, deep, silent)
    mended = examine(config)  # not deep: the made encoder's weights are none that could be loaded
    assert healthy(mended), found(mended, Level.PROBLEM)
    catalog = Catalog(config)
    assert embed_all(catalog) == lost  # just what was lost waits for its embedding again
    assert (config.home.parent / "media1").is_dir()
    if catalog.current_version() is not None:
        assert_serves(config, catalog)
    catalog.engine.dispose()


def assert_serves(config: Config, catalog: Catalog) -> None:
    """Everything that is indexed finds itself."""
    searcher = Searcher(config, catalog)
    searcher.refresh()
    hits = searcher.search(Query((Term(item=34),), Modality.IMAGE, limit=3)).hits
    assert hits[0].id == 34 and hits[0].order > 0.999


def test_a_file_is_read_again_when_a_frame_of_it_lost_its_embedding(config: Config) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        page = Item(root_id=1, parent_id=4, modality="image", path="1/001.jpg", size=0, mtime_ns=1, position=1)
        session.add(page)
    assert embed_all(catalog) == 1
    change(config, sa.update(Embedding).where(Embedding.item_id == page.id).values(row=1000))
    repair(config, False, silent)
    with catalog.session() as session:
        left = set(session.scalars(sa.select(Embedding.item_id)))
    assert set(range(1, 37)) - left == {4} and page.id not in left  # and the captions of file 4 keep theirs
    catalog.engine.dispose()


def test_checksums_of_an_earlier_release_are_missed_and_written(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    rows = Catalog(config).current_version()
    lose_checksums(config)
    findings = examine(config, deep=True)
    assert healthy(findings) and rows is not None
    assert f"{sum(rows.counts.values())} rows in" in found(findings, Level.NOTE) and "no checksum" in found(
        findings, Level.NOTE
    )
    repair(config, True, silent)
    assert "no checksum" not in found(examine(config, deep=True), Level.NOTE)


def test_captions_whose_items_are_gone_are_read_again(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    catalog = Catalog(config)
    with catalog.session() as session:
        columns = Item.path, Item.modality, Item.content_hash
        query = sa.select(*columns).where(Item.removed_at.is_(None)).order_by(Item.path, Item.modality)
        before, counts = session.execute(query).all(), [row.text for row in session.scalars(sa.select(Caption))]
    drop_rows(config, "items WHERE modality = 'text' AND id % 3 = 0", "items WHERE parent_id IS NULL AND id % 7 = 0")
    assert healthy(repair(config, False, silent))
    index_folders(config, [tmp_path / "media1"], silent)
    with catalog.session() as session:
        assert session.execute(query).all() == before
        assert sorted(row.text for row in session.scalars(sa.select(Caption))) == sorted(counts)
    assert healthy(examine(config, deep=True))
    catalog.engine.dispose()


def test_versions_and_heads_of_an_encoder_that_is_gone_are_dropped(config: Config) -> None:
    drop_rows(config, "encoders")
    said = found(examine(config), Level.PROBLEM)
    assert "1 row of versions points to rows of encoders" in said and "36 rows of embeddings" in said
    assert healthy(repair(config, False, silent)) and Catalog(config).current_version() is None


def test_what_was_lost_is_embedded_again(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    before = Catalog(config).current_version()
    os.truncate(shard(config), 50 * 2 * 64)
    assert healthy(repair(config, False, silent))
    report = index_folders(config, [tmp_path / "media1"], silent)
    assert report.embedded == 70 and report.version is not None and before is not None
    assert report.version.counts == before.counts and healthy(examine(config, deep=True))


def test_a_repair_of_nothing_changes_nothing(config: Config) -> None:
    before = snapshot(config)
    assert healthy(repair(config, False, silent)) and snapshot(config) == before


def test_a_damaged_older_version_goes_and_the_good_one_is_served(config: Config) -> None:
    catalog = Catalog(config)
    from indexer.build import build

    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, 1)
    build(catalog, config, encoder, silent)
    alter_version(config)  # the first of two
    assert "version 1 is damaged" in found(examine(config), Level.PROBLEM)
    assert healthy(repair(config, False, silent))
    assert_serves(config, catalog)
    catalog.engine.dispose()


# --- what a person must mend ---


def test_a_healthy_library_has_nothing_to_act_on(config: Config) -> None:
    findings = examine(config)
    assert {finding.level for finding in findings} == {Level.OK}
    said = found(findings, Level.OK)
    for words in ("schema", "36 embeddings", "version 1 is whole", "encoders/made is there", "12 files", "free on",
                  "torch", "SQLite", "words in pictures", "device auto", "codec.bits = 64"):  # fmt: skip
        assert words in said


def test_asking_imports_nothing_heavy(config: Config) -> None:
    code = (
        "import sys; from engine.config import load_config; from indexer.care.doctor import examine;"
        f"examine(load_config({str(config.home)!r}, environ={{}}));"
        "assert not {'torch', 'faiss', 'open_clip'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("open_clip_model.safetensors", b"other weights", "is missing or was altered"),
        ("open_clip_model.safetensors", None, "is missing or was altered"),
        (".", None, "its folder is not there"),
    ],
)
def test_encoders_that_cannot_be_used(config: Config, file: str, data: bytes | None, words: str) -> None:
    path = config.home / "encoders" / "made" / file
    if data:
        path.write_bytes(data)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    said = found(repair(config, False, silent), Level.PROBLEM)
    assert words in said and "words are only looked up" in said and "--encoder SPEC" in said


def test_a_checkpoint_that_is_gone(config: Config, tmp_path: Path) -> None:
    change(config, sa.update(EncoderRow).values(spec=f"open_clip:ViT-B-32/{tmp_path}/checkpoint.pt"))
    assert f"no checkpoint at {tmp_path}/checkpoint.pt" in found(examine(config), Level.PROBLEM)


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a file"])
def test_folders_that_are_away(config: Config, left: str) -> None:
    media = config.home.parent / "media1"
    media.rename(config.home.parent / "elsewhere")
    if left == "an empty folder":
        media.mkdir()
    if left == "a file":
        media.write_text("no folder")
    said = found(examine(config), Level.PROBLEM)
    assert str(media) in said and "12 files of it are indexed" in said and "rebus relocate" in said


def test_a_catalog_that_is_no_database_or_of_another_release(config: Config) -> None:
    change(config, sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert "newer than this release" in found(examine(config), Level.PROBLEM)
    (config.home / "catalog.db").write_bytes(b"no database " * 1000)
    for findings in (examine(config), repair(config, False, silent)):
        assert "cannot be opened" in found(findings, Level.PROBLEM) and "rebus restore" in found(
            findings, Level.PROBLEM
        )


def test_a_catalog_with_a_damaged_page(config: Config) -> None:
    path = config.home / "catalog.db"
    data = bytearray(path.read_bytes())
    with sqlite3.connect(path) as database:
        page = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'captions'").fetchone()[0]
    database.close()
    data[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    path.write_bytes(data)
    for findings in (examine(config, deep=True), repair(config, False, silent)):
        said = found(findings, Level.PROBLEM)
        assert "the catalog is damaged" in said and "rebus restore" in said


def test_rows_that_cannot_be_dropped_safely_are_named(config: Config) -> None:
    with sqlite3.connect(config.home / "catalog.db") as database:
        database.execute("DELETE FROM roots")
    database.close()
    said = found(repair(config, False, silent), Level.PROBLEM)
    assert "36 rows of items point to rows of roots that are not there" in said and "rebus restore" in said
    assert "versions" not in said and "free on the disk" in found(
        examine(config), Level.OK
    )  # and the rest is looked at


def test_settings_that_cannot_work(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    asked = replace(
        config,
        encoder=replace(config.encoder, model="/no/such/folder"),
        media=replace(config.media, ocr=True),
    )
    said = found(examine(asked), Level.PROBLEM)
    assert "/no/such/folder" in said and "tesseract program is missing" in said


def test_no_password_is_shown(config: Config) -> None:
    asked = replace(config, catalog=replace(config.catalog, url="postgresql+psycopg://me:secret@127.0.0.1:1/db"))
    said = "\n".join(lines(examine(asked)))
    assert "secret" not in said and "cannot be opened" in said and "catalog.url = (an address)" in said


# --- what is only noted ---


def test_leftovers_are_noted_and_removed(config: Config) -> None:
    for name in ("versions/.tmp-a", "versions/000009", "embeddings/ffff-3", "thumbs/aa/.tmp-b"):
        (config.home / name).mkdir(parents=True)
    orphan = config.home / "thumbs" / "aa" / f"{'a' * 32}.jpg"
    orphan.write_bytes(b"of nothing")
    findings = examine(config)
    said = found(findings, Level.NOTE)
    assert healthy(findings) and "4 leftovers" in said and "1 thumbnails belong to nothing" in said
    assert "leftovers" not in found(repair(config, False, silent), Level.NOTE)
    assert not list(config.home.glob("*/.tmp-*")) and not (config.home / "versions" / "000009").exists()
    assert (config.home / "versions" / "000001").is_dir() and shard(config).exists() and orphan.exists()


def test_missing_thumbnails_are_counted_alone(config: Config) -> None:
    for path in list(config.home.glob("thumbs/*/*.jpg"))[:5]:
        path.unlink()
    findings = examine(config)
    assert healthy(findings) and "5 pictures have no thumbnail yet" in found(findings, Level.OK)


def test_failures_are_noted_by_reason(config: Config) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        for number in range(3):
            facts = {"stage": "decode", "reason": "it is cut short" if number else "it is a bomb", "hint": "none"}
            session.add(Failure(root_id=1, path=f"{number}.jpg", **facts))
    catalog.engine.dispose()
    said = found(examine(config), Level.NOTE)
    assert "3 files could not be used. 2: it is cut short (decode); 1: it is a bomb (decode)" in said


def test_killed_runs_are_noted_and_marked(config: Config) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        session.add(Job(kind="index", pid=1, message="reading folders"))
    assert "1 run was killed: index (process 1): reading folders" in found(examine(config), Level.NOTE)
    with FileLock(config.home / "write.lock"):
        busy = found(examine(config), Level.NOTE)
    assert "another process writes" in busy and "killed" not in busy
    repair(config, False, silent)
    with catalog.session() as session:
        assert list(session.scalars(sa.select(Job.state).where(Job.kind == "index"))) == ["done", "interrupted"]
    catalog.engine.dispose()


def test_a_library_of_nothing_yet(config: Config, tmp_path: Path) -> None:
    empty = replace(config, home=tmp_path / "empty")
    assert "no library at" in found(examine(empty), Level.PROBLEM)
    Catalog(empty, create=True).engine.dispose()
    findings = examine(empty)
    assert healthy(findings) and "no folder is indexed yet" in found(findings, Level.NOTE)


def test_embeddings_without_a_version_are_noted(config: Config) -> None:
    change(config, sa.delete(IndexVersion))
    assert "no version is published" in found(examine(config), Level.NOTE)


# --- the command, and an encoder that loads ---


def run(config: Config, *arguments: str) -> int:
    try:
        rebus.main(["--home", str(config.home), *arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_command_tells_by_its_code(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(config, "doctor", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["healthy"] and all(set(one) == {"level", "what", "repair"} for one in said["findings"])
    lose_version(config)
    assert run(config, "doctor") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("problem  version 1 is damaged") and out[-1].startswith("         -> drop it (--repair)")
    assert run(config, "doctor", "--repair") == 0


def test_lines_put_problems_last() -> None:
    findings = [Finding(Level.PROBLEM, "p", "mend"), Finding(Level.OK, "o"), Finding(Level.NOTE, "n", "look")]
    said = list(lines(findings))
    assert said == ["ok       o", "note     n", "         -> look", "problem  p", "         -> mend"]


def test_a_deep_look_loads_the_encoder(library: Config, tmp_path: Path) -> None:
    config = copy_library(library, tmp_path)
    assert healthy(examine(config, deep=True))
    copy = shutil.copytree(library.encoder.model, tmp_path / "other-model")
    weights = copy / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 0x40
    weights.write_bytes(data)
    change(config, sa.update(EncoderRow).values(spec=str(copy)))
    assert healthy(examine(config))  # a folder without a manifest says nothing of itself
    assert "changed since this library was indexed" in found(examine(config, deep=True), Level.PROBLEM)


def test_items_of_a_manifest_are_what_the_version_holds(config: Config) -> None:
    """The places that are checked are those that FaissBackend wrote: the file names are its own."""
    manifest = read_manifest(config.home / "versions" / "000001")
    names = {f"{m}.{part}.npy" for m in manifest["indexes"] for part in ("shards", "rows")}
    assert names <= set(manifest["files"])
    catalog = Catalog(config)
    with catalog.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Item)) == 36
    catalog.engine.dispose()
