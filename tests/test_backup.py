"""A backup is the library, row for row and byte for byte, also while it is written to; a hostile one is refused."""

import dataclasses
import io
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.catalog import Catalog, EncoderRow, Job
from engine.config import Config
from engine.errors import DiskFull, NoRoom, RebusError
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.care.archive import MANIFEST, BackupError, belongs
from indexer.care.backup import backup
from indexer.care.collect import collect
from indexer.care.doctor import examine, healthy
from indexer.care.restore import restore
from tests.made_library import add_files, publish, remove_files, silent, snapshot

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def saved(made: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the made library."""
    file = tmp_path_factory.mktemp("saved") / "library.tar"
    backup(made, file, silent)
    return file


def moved(config: Config, home: Path) -> Config:
    return dataclasses.replace(config, home=home)


def contents(file: Path) -> Files:
    with tarfile.open(file) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


# --- the round trip ---


def test_what_is_restored_is_what_was(config: Config, tmp_path: Path) -> None:
    (config.home / "config.toml").write_text("[codec]\nbits = 64\n")
    report = backup(config, tmp_path / "library.tar", silent)
    restored = restore(tmp_path / "library.tar", tmp_path / "new" / "home", silent)
    again = moved(config, tmp_path / "new" / "home")
    assert snapshot(again) == snapshot(config)
    assert healthy(examine(again)) and restored.roots == [str(tmp_path / "media1")]
    assert restored.files == report.files == len(snapshot(config)["files"]) + 1  # and the catalog
    assert report.bytes == (tmp_path / "library.tar").stat().st_size
    hits = Searcher(again, Catalog(again)).search(Query((Term(item=1),), Modality.IMAGE)).hits
    assert hits[0].id == 1 and len(hits) == 12


def test_thumbnails_may_stay_behind(config: Config, tmp_path: Path) -> None:
    backup(config, tmp_path / "library.tar", silent, thumbnails=False)
    restore(tmp_path / "library.tar", tmp_path / "home2", silent)
    again = moved(config, tmp_path / "home2")
    assert healthy(examine(again)) and not (again.home / "thumbs").exists()


def test_a_tail_that_the_catalog_does_not_count_stays_behind(config: Config, tmp_path: Path) -> None:
    before = snapshot(config)
    shard = next(config.home.glob("embeddings/*/*.f16"))
    with shard.open("ab") as file:
        file.write(b"half a row of a killed run")
    backup(config, tmp_path / "library.tar", silent)
    restore(tmp_path / "library.tar", tmp_path / "home2", silent)
    assert snapshot(moved(config, tmp_path / "home2")) == before


def test_checksums_go_along_and_may_be_missing(config: Config, tmp_path: Path) -> None:
    (sums,) = config.home.glob("embeddings/*/*.sums")
    backup(config, tmp_path / "with.tar", silent)
    assert contents(tmp_path / "with.tar")[sums.relative_to(config.home).as_posix()] == sums.read_bytes()
    sums.unlink()
    backup(config, tmp_path / "without.tar", silent)
    restore(tmp_path / "without.tar", tmp_path / "home2", silent)
    assert healthy(examine(moved(config, tmp_path / "home2")))


def test_a_run_that_was_under_way_is_interrupted_in_the_copy(config: Config, tmp_path: Path) -> None:
    catalog = Catalog(config)
    with catalog.session() as session:
        session.add(Job(kind="index", pid=1))
    catalog.engine.dispose()
    backup(config, tmp_path / "library.tar", silent)
    restore(tmp_path / "library.tar", tmp_path / "home2", silent)
    copy = Catalog(moved(config, tmp_path / "home2"))
    with copy.session() as session:
        assert session.scalar(sa.select(Job.state).order_by(Job.id.desc())) == "interrupted"
    copy.engine.dispose()


def test_a_backup_is_whole_whatever_is_written_meanwhile(config: Config, tmp_path: Path) -> None:
    """Files come, versions are replaced, shards are compacted: each backup is of one moment, and healthy."""
    ended, errors = threading.Event(), list[Exception]()
    catalog = Catalog(config)
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, 1)
    catalog.engine.dispose()

    def write() -> None:
        number = 0
        try:
            while not ended.is_set():
                names = [f"more/{number}-{i}.jpg" for i in range(6)]
                add_files(config, tmp_path / "media1", names)
                publish(config, encoder)
                if number % 2:
                    remove_files(config, [name for name in names if not name.endswith("5.jpg")])
                    collect(config, silent)
                number += 1
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(4):
            file, home = tmp_path / f"{number}.tar", tmp_path / f"home-{number}"
            backup(config, file, silent)
            restore(file, home, silent)
            found = examine(moved(config, home), deep=False)
            assert healthy(found), found
    finally:
        ended.set()
        thread.join()
    assert not errors
    assert healthy(examine(config))


# --- what cannot be backed up ---


def test_a_file_that_is_there_is_kept(config: Config, tmp_path: Path) -> None:
    (tmp_path / "library.tar").write_bytes(b"an older backup")
    with pytest.raises(BackupError, match="is there already"):
        backup(config, tmp_path / "library.tar", silent)
    assert (tmp_path / "library.tar").read_bytes() == b"an older backup"


def test_a_folder_that_is_not_there(config: Config, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no folder"):
        backup(config, tmp_path / "nowhere" / "library.tar", silent)


def test_a_disk_without_room_is_told_in_a_sentence(
    config: Config, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        NoRoom, match=r"^the backup takes . MiB, and 1 MiB are free at .*name a file on another disk"
    ) as no:
        backup(config, tmp_path / "library.tar", silent)
    assert isinstance(no.value, DiskFull)
    with pytest.raises(NoRoom, match=r"^the library takes .* are free at .*: choose another disk$"):
        restore(saved, tmp_path / "home2", silent)


def test_another_database_is_sent_to_its_own_program(config: Config, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(config, catalog=dataclasses.replace(config.catalog, url="postgresql://db/rebus"))
    with pytest.raises(BackupError, match="pg_dump"):
        backup(elsewhere, tmp_path / "library.tar", silent)


@pytest.mark.parametrize("pattern", ["versions/000001", "embeddings/*"])
def test_a_damaged_library_is_not_backed_up_as_whole(config: Config, tmp_path: Path, pattern: str) -> None:
    shutil.rmtree(next(config.home.glob(pattern)))
    with pytest.raises(BackupError, match="rebus doctor"):
        backup(config, tmp_path / "library.tar", silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "media1"]


def test_a_short_shard_is_not_backed_up_as_whole(config: Config, tmp_path: Path) -> None:
    with next(config.home.glob("embeddings/*/*.f16")).open("r+b") as file:
        file.truncate(100)
    with pytest.raises(BackupError, match=r"000000\.f16 is shorter than the catalog says"):
        backup(config, tmp_path / "library.tar", silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "media1"]


def test_links_and_half_written_files_are_left_out(config: Config, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (config.home / "encoders" / "made" / "link.txt").symlink_to(secret)
    (config.home / "encoders" / ".tmp-half").mkdir()
    (config.home / "encoders" / ".tmp-half" / "weights").write_text("half")
    backup(config, tmp_path / "library.tar", silent)
    names = set(contents(tmp_path / "library.tar"))
    assert not {name for name in names if "link" in name or ".tmp" in name}


# --- what is refused ---


def write_tar(file: Path, files: Files, extra: list[tarfile.TarInfo], manifest: Any = None) -> Path:
    """A tar of these files and members, with a manifest that fits the files unless one is given."""
    described = {n: {"bytes": len(d), "xxh3_128": xxhash.xxh3_128_hexdigest(d)} for n, d in files.items()}
    said = json.dumps({"format": 1, "files": described} if manifest is None else manifest).encode()
    with tarfile.open(file, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
        if manifest != "none":
            member = tarfile.TarInfo(MANIFEST)
            member.size = len(said)
            tar.addfile(member, io.BytesIO(said))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def assert_refused(file: Path, place: Path) -> str:
    """Nothing is put in place, and nothing is left."""
    before = sorted(str(path) for path in place.rglob("*"))
    with pytest.raises(BackupError) as caught:
        restore(file, place / "home", silent)
    assert sorted(str(path) for path in place.rglob("*")) == before
    return str(caught.value)


@pytest.mark.parametrize(
    "hostile",
    [
        member("/etc/passwd"),
        member("../outside.txt", size=3),
        member("versions/../../outside.txt", size=3),
        member("encoders/link", tarfile.SYMTYPE, link="/etc/passwd"),
        member("encoders/made/link", tarfile.LNKTYPE, link="catalog.db"),
        member("encoders/device", tarfile.CHRTYPE),
        member("encoders/block", tarfile.BLKTYPE),
        member("encoders/pipe", tarfile.FIFOTYPE),
        member("encoders/folder", tarfile.DIRTYPE),
        member("catalog.db", size=5),
        member("CATALOG.DB", size=5),
        member("write.lock", size=5),
        member("versions/000001/.hidden", size=5),
        member("encoders/a\\b/c", size=5),
        member("encoders/made/surplus", size=5),
        member("thumbs/" + "a" * 300 + "/b.jpg", size=5),
    ],
    ids=lambda info: f"{info.name[:30]}-{info.type.decode()}",
)
def test_hostile_members(saved: Path, tmp_path: Path, hostile: tarfile.TarInfo) -> None:
    files = contents(saved)
    del files[MANIFEST]
    assert_refused(write_tar(tmp_path / "hostile.tar", files, [hostile]), tmp_path)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("none", "does not end in a manifest"),
        ([], "cannot be read"),
        ({"format": 99, "files": {}}, "upgrade Rebus"),
        ({"format": 1, "files": {}}, "not those that its manifest names"),
        ({"format": 1, "files": {"catalog.db": {"bytes": "many", "xxh3_128": ""}}}, "cannot be read"),
        ({"format": 1, "files": {"catalog.db": {"bytes": 10**15, "xxh3_128": ""}}}, "not those"),
    ],
)
def test_hostile_manifests(saved: Path, tmp_path: Path, manifest: Any, words: str) -> None:
    files = contents(saved)
    del files[MANIFEST]
    assert words in assert_refused(write_tar(tmp_path / "hostile.tar", files, [], manifest), tmp_path)


def poisoned(saved: Path, file: Path, change: Callable[[Files], None]) -> Path:
    """A backup that is whole, of a library that is not."""
    files = contents(saved)
    del files[MANIFEST]
    change(files)
    return write_tar(file, files, [])


def in_catalog(statement: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        database = sqlite3.connect(":memory:")
        database.deserialize(files["catalog.db"])
        database.execute(statement)
        database.commit()
        files["catalog.db"] = database.serialize()
        database.close()

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_catalog("CREATE TRIGGER t AFTER INSERT ON jobs BEGIN DELETE FROM items; END"), "triggers or views"),
        (in_catalog("DROP TRIGGER words_path_put"), "triggers or views"),
        (in_catalog("UPDATE versions SET folder = '../outside'"), "no folder of versions"),
        (in_catalog("UPDATE encoders SET rows = 99"), "hold 36 of 99 rows"),
        (in_catalog("UPDATE alembic_version SET version_num = '9999'"), "newer than this release"),
        (lambda files: files.update({"catalog.db": b"no database" * 99}), "cannot be read"),
        (lambda files: files.update({"config.toml": b"[catalog]\nurl = 'sqlite:////tmp/elsewhere.db'\n"}), "elsewhere"),
        (lambda files: files.update({"config.toml": b"[serve]\nhots = 1\n"}), "hots"),
        (lambda files: files.update({"versions/000001/image.ids.npy": b"other"}), "was altered"),
        (lambda files: files.pop("catalog.db") and None, "no catalog"),
    ],
)
def test_libraries_that_are_none(saved: Path, tmp_path: Path, change: Callable[[Files], None], words: str) -> None:
    assert words in assert_refused(poisoned(saved, tmp_path / "hostile.tar", change), tmp_path)


def test_a_home_that_holds_anything_is_kept(saved: Path, config: Config, tmp_path: Path) -> None:
    before = snapshot(config)
    with pytest.raises(BackupError, match="not empty"):
        restore(saved, config.home, silent)
    assert snapshot(config) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(BackupError, match="not empty"):
        restore(saved, tmp_path / "file", silent)
    (tmp_path / "empty").mkdir()
    assert restore(saved, tmp_path / "empty", silent).files == 29


KILLED_AT_FIRST = """
import os, signal, sys
from pathlib import Path
from indexer.care.restore import restore
restore(Path(sys.argv[1]), Path(sys.argv[2]), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_what_a_killed_restore_left_goes_with_the_next_one(saved: Path, tmp_path: Path) -> None:
    place = tmp_path / "there"
    command = [sys.executable, "-c", KILLED_AT_FIRST, str(saved), str(place / "home")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(place.iterdir())) == 2  # the folder, and its lock
    assert restore(saved, place / "home", silent).files == 29
    assert [path.name for path in place.iterdir()] == ["home"]


def test_two_restores_to_one_home_do_not_meet(saved: Path, tmp_path: Path) -> None:
    second = partial(restore, saved, tmp_path / "home", silent)

    def meet(*_: object) -> None:
        with pytest.raises(BackupError, match="another process is restoring"):
            second()

    assert restore(saved, tmp_path / "home", meet).files == 29


def test_other_files_are_no_backups(saved: Path, tmp_path: Path) -> None:
    for name, data in (("empty", b""), ("noise", b"noise" * 999), ("packed.tar.gz", b"\x1f\x8b" + b"0" * 99)):
        (tmp_path / name).write_bytes(data)
        assert_refused(tmp_path / name, tmp_path)
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as tar:
        tar.add(saved, "catalog.db")
    assert_refused(tmp_path / "packed.tar.gz", tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_backup_is_refused_or_changes_nothing(
    saved: Path, made: Config, tmp_path: Path, data: st.DataObject
) -> None:
    whole = saved.read_bytes()
    if data.draw(st.booleans()):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
        damaged = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    file, home = tmp_path / "damaged.tar", tmp_path / "home"
    file.write_bytes(damaged)
    try:
        restore(file, home, silent)
    except RebusError:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.tar"]
        return
    try:  # the padding of a tar says nothing
        assert snapshot(moved(made, home))["files"] == snapshot(made)["files"]
    finally:
        shutil.rmtree(home)


@given(st.text(max_size=40))
def test_only_names_of_a_library_belong(name: str) -> None:
    if belongs(name):
        place = Path("/home/library")
        assert (place / name).is_relative_to(place) and ".." not in name.split("/") and "\x00" not in name
        assert name.split("/")[0] in {"catalog.db", "config.toml", "embeddings", "versions", "encoders", "thumbs"}
