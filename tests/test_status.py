"""What a library holds, in numbers."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.catalog import Catalog, Embedding, EncoderRow, Failure, IndexVersion, Item, Job, Root
from engine.config import Config
from engine.status import disk_needed, failures, summarize
from tests.conftest import config_at


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = Catalog(config_at(tmp_path / "home"), create=True)
    yield catalog
    catalog.engine.dispose()


def test_an_indexed_library_is_counted(library: Config) -> None:
    facts = summarize(Catalog(library))
    assert facts["items"] == {"image": 40, "text": 80}
    assert (facts["pending"], facts["failures"]) == (0, 0)
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
        for _ in range(300):
            assert summarize(catalog)["disk_bytes"] > 0
    finally:
        ended.set()
        thread.join()


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
