"""Run indexing in forked children and kill them at random moments; tests run this file as a program.

A child counts its function calls, Python's and C's, and sends itself SIGKILL at a drawn count: anywhere between
two statements, inside a transaction, between a write and its sync. The parent forks before torch has any thread.
"""

import json
import os
import random
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy as sa
import xxhash

import engine.encoders.open_clip  # noqa: F401  (paid once, before the forks)
import indexer.build
import indexer.embed  # noqa: F401
from engine.artifacts import read_manifest
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Failure, IndexVersion, Item
from engine.config import Config
from indexer.library import index_folders
from tests.conftest import config_at, silent
from tests.forks import in_child


def _index(config: Config, media: Path, kill_at: int) -> int:
    """Index, and die at the call `kill_at` (0: never). The number of calls."""
    calls = 0

    def count(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    index_folders(config, [media], silent)
    sys.setprofile(None)
    return calls


def snapshot(config: Config) -> dict[str, Any]:
    """All that a library holds, as JSON values, without times and job rows."""
    catalog = Catalog(config)
    hidden = {"added_at", "removed_at", "failed_at", "created_at", "published_at", "spec"}
    held: dict[str, Any] = {}
    with catalog.session() as session:
        for table in (Item, Caption, Embedding, Failure, EncoderRow):
            columns = [column for column in table.__table__.columns if column.name not in hidden]
            held[table.__tablename__] = [list(row) for row in session.execute(sa.select(*columns).order_by("id"))]
        held["removed"] = list(session.scalars(sa.select(Item.id).where(Item.removed_at.is_not(None))))
        folders = list(session.scalars(sa.select(IndexVersion.folder)))
    held["shards"] = {str(p.relative_to(config.home)): _hash(p) for p in sorted(config.home.glob("embeddings/*/*"))}
    held["orphan versions"] = sorted(
        p.name for p in (config.home / "versions").iterdir() if str(p.relative_to(config.home)) not in folders
    )
    newest = config.home / folders[-1]
    held["index"] = read_manifest(newest)["files"]
    held["thumbs"] = sorted(p.name for p in config.home.glob("thumbs/*/*"))
    return held


def _hash(path: Path) -> str:
    return xxhash.xxh3_128_hexdigest(path.read_bytes())


def main(place: Path, encoder: str, kills: int, seed: int) -> None:
    """Index `place`/media undisturbed, then elsewhere through `kills` kills; print how the outcomes differ."""
    rng, media = random.Random(seed), place / "media"
    calm, killed = (config_at(place / name, encoder={"model": encoder, "batch_size": 8}) for name in ("calm", "killed"))
    calls = in_child(partial(_index, calm, media, 0))
    expected = snapshot(calm)
    wrong: list[str] = []
    done = 0
    while done < kills or killed.home.exists():
        finished = in_child(partial(_index, killed, media, rng.randint(1, calls) if done < kills else 0))
        if finished is None:
            done += 1
        else:  # it got to its end past all kills so far: compare, and begin anew
            outcome = snapshot(killed)
            wrong += [f"after {done} kills: {key}" for key in expected if outcome[key] != expected[key]]
            shutil.rmtree(killed.home)
    sys.stdout.write(json.dumps({"kills": done, "wrong": wrong, "items": len(expected["items"])}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
