"""Run `rebus gc` in forked children and kill them at random moments; test_gc runs this file as a program.

After every kill the library must still serve every item with its own vector, and be one that the doctor calls well;
the next gc that is let alone must end where an undisturbed one ends.
"""

import json
import os
import random
import shutil
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine.catalog import Catalog, Item
from engine.config import Config
from engine.search import Searcher
from engine.types import Modality, Query, Term
from indexer.care.collect import collect
from indexer.care.doctor import examine
from indexer.care.findings import Level
from tests.forks import in_child
from tests.made_library import make_library, remove_files, silent, snapshot

FILES, REMOVED = 24, 9
_OURS = ("care/compact.py", "care/collect.py", "care/forget.py", "indexer/build.py")  # where order matters


def _collect(config: Config, kill_at: int = 0) -> dict[str, list[tuple[int, int]]]:
    """gc, and die at the call `kill_at` (0: never). By function of gc: its first and last call of each time."""
    calls = 0
    spans: dict[str, list[tuple[int, int]]] = {}
    entered: list[int] = []

    def count(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if frame.f_code.co_filename.endswith(_OURS):
            if event == "call":
                entered.append(calls)
            elif event == "return" and entered:
                spans.setdefault(frame.f_code.co_qualname, []).append((entered.pop(), calls))

    sys.setprofile(count)
    collect(config, silent)
    sys.setprofile(None)
    return spans


def _wrong(config: Config) -> list[str]:
    """What does not work: each present item must find itself, and the doctor no problem."""
    wrong = [found.what for found in examine(config, deep=False) if found.level is Level.PROBLEM]
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    with catalog.session() as session:
        present = session.execute(
            sa.select(Item.id, Item.modality).where(Item.removed_at.is_(None)).order_by(Item.id)
        ).all()
    pictures = [item for item, modality in present if modality == Modality.IMAGE]
    every = Query((Term(item=pictures[0]),), limit=len(pictures), exact=True)
    if sorted(hit.id for hit in searcher.search(every).hits) != pictures:
        wrong.append("what is served is not what is present")
    for item, modality in present:
        hits = searcher.search(Query((Term(item=item),), Modality(modality), limit=1)).hits
        if [hit.id for hit in hits] != [item] or hits[0].order < 0.999:
            wrong.append(f"item {item} finds {hits}")
    return wrong


def _moment(rng: random.Random, spans: dict[str, list[tuple[int, int]]]) -> int:
    """A call to die at: within any function of gc alike, however short or rare."""
    return rng.randint(*rng.choice(spans[rng.choice(sorted(spans))]))


def main(place: Path, kills: int, seed: int) -> None:
    """Compare undisturbed gc with gc through kills; print how many kills, and what was wrong."""
    rng = random.Random(seed)
    start = make_library(place, FILES)
    remove_files(start, [f"{number % 3}/{number:03d}.jpg" for number in range(REMOVED)])

    def copy(name: str) -> Config:
        home = place / name
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(start.home, home)
        return replace(start, home=home)

    calm = copy("calm")
    spans = in_child(lambda: _collect(calm))
    expected, wrong = snapshot(calm), in_child(lambda: _wrong(calm))
    done = 0
    while done < kills:
        killed = copy("killed")
        while in_child(partial(_collect, killed, _moment(rng, spans))) is None:
            done += 1
            wrong += [f"after {done} kills: {what}" for what in in_child(partial(_wrong, killed))]
        outcome = snapshot(killed)
        wrong += [f"after {done} kills: {key}" for key in expected if outcome[key] != expected[key]]
    vectors = np.fromfile(next(calm.home.glob("embeddings/*/*.f16")), "<f2")
    sys.stdout.write(json.dumps({"kills": done, "wrong": wrong, "rows": len(vectors) // 16, "functions": len(spans)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
