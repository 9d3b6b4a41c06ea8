"""What a library holds, in numbers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.catalog import Catalog, Embedding, EncoderRow, Failure, IndexVersion, Item, Job, Root
from engine.config import Config
from engine.status import (
    LiveStatus,
    Remembered,
    disk_needed,
    failures,
    job_totals,
    running_job,
    status_lines,
    summarize,
)
from tests.catalogs import new_catalog
from tests.conftest import config_at

ROOT = Path(__file__).parent.parent


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = new_catalog(config_at(tmp_path / "home"))
    yield catalog
    catalog.engine.dispose()


def test_an_indexed_library_is_counted(library: Config) -> None:
    facts = summarize(Catalog(library))
    assert facts["items"] == {"image": 40, "text": 80}
    assert (facts["pending"], facts["no_encoder"], facts["failures"], facts["files"]) == (0, 0, 0, 40)
    assert facts["home"] == str(library.home)
    assert facts["roots"] == [str(library.home.parent / "media")]
    assert facts["version"]["counts"] == facts["items"]
    assert facts["version"]["spec"] == library.encoder.model
    assert facts["version"]["encoder"] == Path(library.encoder.model).name
    assert [(job["kind"], job["state"]) for job in facts["jobs"]] == [("index", "done")]
    assert facts["disk_bytes"] > (library.home / "catalog.db").stat().st_size
    assert json.loads(json.dumps(facts)) == facts


def test_an_empty_library_has_nothing(catalog: Catalog) -> None:
    facts = summarize(catalog)
    assert facts["items"] == {} and facts["version"] is None
    assert facts["roots"] == facts["jobs"] == [] and facts["pending"] == facts["failures"] == 0


def test_removed_items_are_not_counted_and_unembedded_ones_are_pending(catalog: Catalog) -> None:
    with catalog.session() as session:
        session.add(Root(path="/media"))
        session.flush()
        for number, removed in enumerate((None, None, 1.0)):
            item = Item(root_id=1, modality="image", path=f"{number}.jpg", size=1, mtime_ns=1, removed_at=removed)
            session.add(item)
    facts = summarize(catalog)
    assert (facts["items"], facts["pending"]) == ({"image": 2}, 2)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("/home/me/encoders/mine", "mine"),
        ("encoders/mine", "mine"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:ViT-B-32/laion2b_s34b_b79k"),
    ],
)
def test_the_served_encoder_is_named_as_a_person_would(catalog: Catalog, spec: str, shown: str) -> None:
    with catalog.session() as session:
        session.add(EncoderRow(fingerprint="f", spec=spec, dim=4))
        session.flush()
        session.add(IndexVersion(encoder_id=1, folder="versions/000001", watermark=0, counts={}))
    version = summarize(catalog)["version"]
    assert (version["encoder"], version["spec"]) == (shown, spec)


def test_the_last_ten_jobs_come_newest_first(catalog: Catalog) -> None:
    with catalog.session() as session:
        session.add_all([Job(id=number, kind="index", pid=1) for number in range(1, 13)])
    assert [job["id"] for job in summarize(catalog)["jobs"]] == list(range(12, 2, -1))


def test_failures_come_by_path_in_pages(catalog: Catalog) -> None:
    with catalog.session() as session:
        session.add_all([Root(path="/b"), Root(path="/a")])
        session.flush()
        for root, path in ((1, "y"), (1, "x"), (2, "z")):
            session.add(Failure(root_id=root, path=path, stage="decode", reason="why", hint="what to do"))
    rows = failures(catalog)
    assert [(row["root"], row["path"]) for row in rows] == [("/a", "z"), ("/b", "x"), ("/b", "y")]
    assert rows[0] == {"root": "/a", "path": "z", "stage": "decode", "reason": "why", "hint": "what to do"}
    assert failures(catalog, limit=1, offset=1) == [rows[1]]
    assert summarize(catalog)["failures"] == 3


def test_counting_bytes_survives_files_that_come_and_go(catalog: Catalog) -> None:
    ended = threading.Event()
    folder = catalog.home / "thumbs"

    def churn() -> None:
        while not ended.is_set():
            for number in range(60):
                folder.mkdir(exist_ok=True)
                (folder / f".tmp-{number}").write_bytes(b"x")
            for path in list(folder.iterdir()):
                path.unlink()
            folder.rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(60):
            assert summarize(catalog)["disk_bytes"] > 0
    finally:
        ended.set()
        thread.join()


def test_files_are_told_from_items_and_sounds_do_not_wait(catalog: Catalog) -> None:
    with catalog.session() as session:
        session.add(Root(path="/media"))
        session.add(EncoderRow(fingerprint="f", spec="mine", dim=4))
        session.flush()
        session.add(IndexVersion(encoder_id=1, folder="versions/000001", watermark=0, counts={}))
        kinds = [("image", None), ("video", None), ("audio", None), ("text", None), ("video", 2), ("text", 3)]
        for number, (modality, parent) in enumerate(kinds):
            path = f"{number}"
            session.add(Item(root_id=1, modality=modality, parent_id=parent, path=path, size=1, mtime_ns=1))
            session.flush()
        session.add_all([Embedding(item_id=i, encoder_id=1, shard=0, row=i) for i in (1, 2)])
    facts = summarize(catalog)
    assert facts["items"] == {"image": 1, "video": 2, "audio": 1, "text": 2}
    assert (facts["files"], facts["pending"], facts["no_encoder"]) == (4, 3, 1)
    assert "3 waiting for an embedding; 1 recognised, no encoder yet" in "\n".join(status_lines(facts))


def test_a_running_job_says_how_fast_and_how_long(catalog: Catalog) -> None:
    assert running_job(catalog) is None
    with catalog.session() as session:
        session.add(Job(kind="train", pid=1, state="done", done=3, total=3))
        session.add(
            Job(
                kind="index", pid=1, done=1240, total=7000, rate=32.04, remaining_s=179.8, message="embedding",
                files=1236, failed=4, bytes=2_500_000,
            )
        )  # fmt: skip
    facts = summarize(catalog)
    assert [job["alive"] for job in facts["jobs"]] == [True, False] and facts["jobs"][1]["line"] is None
    assert running_job(catalog) == facts["jobs"][0]
    line = "indexing: 1,240 of 7,000, 3 min left"
    assert facts["jobs"][0]["line"] == line
    assert status_lines(facts)[-1] == (
        f"Job       {line}, 32.0 a second (embedding); 1,236 files read, 4 failed, 2.5 MB"
    )


def test_a_job_that_fell_silent_is_not_alive(catalog: Catalog) -> None:
    with catalog.session() as session:
        session.add(Job(kind="index", pid=1, done=5, heartbeat_at=time.time() - 31))
    [job] = summarize(catalog)["jobs"]
    assert not job["alive"] and job["state"] == "running" and running_job(catalog) is None
    assert "silent: it may have been killed" in status_lines(summarize(catalog))[-1]


def test_failures_are_grouped_by_reason_whatever_its_numbers(catalog: Catalog) -> None:
    reasons = ["1,234 bytes, over the limit of 10", "99 bytes, over the limit of 10", "truncated", "truncated", "bad"]
    with catalog.session() as session:
        session.add(Root(path="/media"))
        session.flush()
        for number, reason in enumerate(reasons):
            stage = "read" if "limit" in reason else "decode"
            session.add(Failure(root_id=1, path=f"{number}", stage=stage, reason=reason, hint="h"))
    facts = summarize(catalog)
    assert facts["failures_by_stage"] == {"read": 2, "decode": 3} and facts["failures"] == 5
    assert sorted((row["count"], row["stage"], row["reason"]) for row in facts["failure_reasons"]) == [
        (1, "decode", "bad"), (2, "decode", "truncated"), (2, "read", "… bytes, over the limit of …"),
    ]  # fmt: skip
    assert [row["count"] for row in facts["failure_reasons"]] == [2, 2, 1]


def test_jobs_are_summed(catalog: Catalog) -> None:
    assert job_totals(catalog) == ({}, {"files": 0, "failed": 0, "bytes": 0})
    with catalog.session() as session:
        for state in ("done", "done", "failed", "running"):
            session.add(Job(kind="index", pid=1, state=state, files=10, failed=1, bytes=100))
    ended, sums = job_totals(catalog)
    assert ended == {("index", "done"): 2, ("index", "failed"): 1}
    assert sums == {"files": 40, "failed": 4, "bytes": 400}


def test_what_takes_long_to_read_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, read = [0.0], list[int]()
    monkeypatch.setattr("engine.status.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def read_slowly() -> int:
        clock[0] += 1.0
        read.append(1)
        return len(read)

    for remembered, kept_s in ((Remembered(read_slowly), 20.0), (Remembered(read_slowly, seconds=60.0), 60.0)):
        read.clear()
        with ThreadPoolExecutor(4) as threads:
            assert [one.result() for one in [threads.submit(remembered) for _ in range(4)]] == [1] * 4
        clock[0] += kept_s - 0.01
        assert remembered() == 1
        clock[0] += 0.01
        assert remembered() == 2


def test_jobs_are_new_each_time_whatever_is_remembered(catalog: Catalog) -> None:
    state = LiveStatus(catalog)
    assert state.read()["jobs"] == []
    with catalog.session() as session:
        session.add(Job(kind="index", pid=1))
    assert len(state.read()["jobs"]) == 1


def test_watching_shows_the_state_until_it_is_interrupted(library: Config) -> None:
    terminal, theirs = os.openpty()  # on a pipe, a live display waits for its end
    command = [sys.executable, "-m", "rebus", "--home", str(library.home), "status", "--watch"]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, cwd=ROOT) as process:
        os.close(theirs)
        shown = b""
        while b"Version" not in shown:
            shown += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    os.close(terminal)
    assert process.returncode == 0 and b"Library" in shown and err == b""


def test_what_embedding_needs_is_about_what_it_takes(library: Config) -> None:
    catalog = Catalog(library)
    version = catalog.current_version()
    assert version is not None
    need = disk_needed(catalog, 64, library.codec.bits)
    embeddings = sum(path.stat().st_size for path in library.home.glob("embeddings/*/*"))
    assert need.items == 120 and need.free > 0
    assert embeddings < need.bytes < 3 * (embeddings + 120 * (library.codec.bits // 8 + 16))
    assert disk_needed(catalog, 64, library.codec.bits, version.encoder_id).items == 0
    with catalog.session() as session:
        assert session.query(Embedding).count() == 120
