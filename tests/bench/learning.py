"""Every method of `rebus train`, side by side: `make bench-learning`. Development data lie in ../shared/data.

Flickr8k: fitted on the 6,000 training pictures' features and captions, measured on the 1,000 of val. Wikipedia: fitted
on the 2,173 training pairs, measured on the 693 test items of the other kind, over the full ranking.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat

from engine.aligners import Aligner
from engine.aligners.texts import Lexical
from engine.config import HeadSettings
from engine.types import F32, I64, Array, Modality
from indexer.class_heads import category_map
from indexer.closed_heads import Data, linear
from indexer.methods import METHODS, Method
from indexer.metrics import recall_both_ways
from indexer.objectives.closed_form import cca
from indexer.stored_pairs import StoredPairs
from indexer.tasks import Task, TextsOf
from tests.bench.report import write

DATA = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "data"
_REFERENCE_WIDTH, _LSA = 6, 400

Row = dict[str, Any]


@dataclass(frozen=True)
class Set:
    """A data set as methods take it. measured: validation or test pairs, which no fit sees. vectors: of its texts."""

    name: str
    train: StoredPairs
    held_out: StoredPairs
    measured: StoredPairs
    vectors: Callable[[StoredPairs], torch.Tensor]


def pairs(
    images: F32, words: tuple[str, ...], owner: I64, texts: F32 | None = None, of: I64 | None = None
) -> StoredPairs:
    ones, none = np.ones(len(owner), np.float32), np.empty((0, 2), np.int64)
    return StoredPairs(images, texts, words, owner, of, ones, none)


def flickr8k(data: Path, language: str = "en", seed: int = 0) -> Set:
    """Features of MobileNetV2, and words; held out while training: a tenth of the training pictures."""
    folder = data / "flickr8k"
    features = np.load(folder / "mobilenetv2_gap1280_f16.npy", allow_pickle=False).astype(np.float32)
    place = {name: row for row, name in enumerate((folder / "image_names.txt").read_text().split())}
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    order = np.random.default_rng(seed).permutation(len(train))
    sides = [[train[i] for i in order[600:]], [train[i] for i in order[:600]], [r for r in rows if r["split"] == "val"]]
    made = []
    for side in sides:
        words = tuple(text for row in side for text in row[language])
        owner = np.repeat(np.arange(len(side)), [len(row[language]) for row in side])
        made.append(pairs(features[[place[row["image"]] for row in side]], words, owner))
    lexical = Lexical.learn(made[0].words, HeadSettings().vocabulary, _LSA, seed)
    fitted, held_out, measured = made
    return Set(f"flickr8k-{language}", fitted, held_out, measured, lambda given: lexical(given.words))


def wikipedia(data: Path) -> Set:
    """SIFT histograms and topic shares with ten categories; a fit sets aside what it needs."""
    folder = data / "wikipedia"
    arrays = loadmat(folder / "raw_features.mat")
    made = []
    for side, listed in (("tr", "trainset_txt_img_cat.list"), ("te", "testset_txt_img_cat.list")):
        lines = (folder / listed).read_text().splitlines()
        of = np.array([int(line.split("\t")[2]) - 1 for line in lines])
        images, texts = (np.ascontiguousarray(arrays[f"{kind}_{side}"], np.float32) for kind in "IT")
        made.append(pairs(images, ("",) * len(of), np.arange(len(of)), texts, of))
    return Set("wikipedia", made[0], made[0], made[1], _own_texts)


def _own_texts(given: StoredPairs) -> torch.Tensor:
    assert given.texts is not None
    return torch.from_numpy(given.texts)


def fit(method: Method, data: Set, settings: HeadSettings) -> Row:
    """A row of the table: the method on one set."""
    started = time.monotonic()
    with TemporaryDirectory() as scratch:
        texts = TextsOf(data.vectors(data.train), data.vectors(data.held_out))
        task = Task(data.train, data.held_out, texts, None, settings, torch.device("cpu"), Path(scratch) / "checkpoint",
                    f"{method.name} {data.name}", lambda figures, epoch, epochs: None)  # fmt: skip
        aligner, report = method.fit(task)
    row: Row = {"method": method.name, "dataset": data.name, "parameters": size(aligner)}
    row |= {"seconds": round(time.monotonic() - started, 1), **measure(aligner, data)}
    row["untrained"] = measure(untrained(aligner, settings.seed), data)
    return row | {"chance": chance(data), "chosen": {name: round(value, 4) for name, value in report.best.items()}}


def measure(aligner: Aligner, data: Set) -> dict[str, float]:
    """Recall both ways, and mAP where there are categories, on the pairs that no fit has seen."""
    given, texts = data.measured, data.vectors(data.measured)
    with torch.inference_mode():
        images = aligner.project(torch.from_numpy(given.images), Modality.IMAGE).numpy()
        rows = aligner.project(texts, Modality.TEXT).numpy()
    figures = recall_both_ways(images, rows, given.owner)
    if given.categories is not None:
        figures |= category_map(
            aligner, Data(given.images, texts.numpy(), given.owner, given.weights), given.categories
        )
    return {name: round(value, 4) for name, value in figures.items()}


def chance(data: Set) -> dict[str, float]:
    """Recall at 10 of an order at random; and mAP, about the share of the right items."""
    n, m = len(data.measured), len(data.measured.owner)
    figures = {"t2i_r10": 10 / n, "i2t_r10": float(1 - (1 - m / n / m) ** 10)}
    if data.measured.categories is not None:
        shares = np.bincount(data.measured.categories) / n
        figures |= {"map": float((shares**2).sum())}
    return {name: round(value, 4) for name, value in figures.items()}


def untrained(aligner: Aligner, seed: int) -> Aligner:
    """The same shape with numbers at random: of learned matrices, what training fills."""
    made = type(aligner)(**aligner.shape)
    made.load_state_dict(aligner.state_dict())
    generator = torch.Generator().manual_seed(seed)
    for name, value in made.state_dict().items():
        if value.ndim > 1 and not name.endswith("landmarks"):
            value.copy_(torch.randn(value.shape, generator=generator) * value.std())
    return made.eval()


def size(aligner: Aligner) -> int:
    return sum(value.numel() for value in aligner.state_dict().values())


def reference_cca(data: Set, width: int) -> Row:
    """CCA without loading and with unweighted variates, as the figures to compare with were measured."""
    texts = data.vectors(data.train).numpy()
    started = time.monotonic()
    m = Data(data.train.images, texts, data.train.owner, data.train.weights).moments
    a, b, _ = cca(m, 1e-6, width)
    sides: dict[Modality, dict[str, Array]] = {
        Modality.IMAGE: {"mean": m.mean_x, "matrix": a},
        Modality.TEXT: {"mean": m.mean_y, "matrix": b},
    }
    row: Row = {"method": f"textbook cca, {width} variates", "dataset": data.name}
    return row | {"seconds": round(time.monotonic() - started, 1), **measure(linear(sides), data)}


def headline(rows: list[Row]) -> dict[str, float]:
    """The names that DESIGN.md lists."""
    found: dict[str, float] = {}
    flickr = [row for row in rows if row["dataset"] == "flickr8k-en"]
    wiki = [row for row in rows if row["dataset"] == "wikipedia"]
    if flickr:
        best = max(flickr, key=lambda row: row["t2i_r10"] + row["i2t_r10"])
        found |= {f"flickr8k_val_{way}_r10": best[f"{way}_r10"] for way in ("t2i", "i2t")}
    for row in wiki:
        if row["method"].startswith("textbook cca"):
            found |= {f"wikipedia_cca_{way}_map": row[f"{way}_map"] for way in ("i2t", "t2i")}
    if wiki:
        best = max(wiki, key=lambda row: row["i2t_map"] + row["t2i_map"])
        found |= {f"wikipedia_best_{way}_map": best[f"{way}_map"] for way in ("i2t", "t2i")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--sets", nargs="*", default=["wikipedia", "flickr8k"], choices=["wikipedia", "flickr8k"])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the development data")
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"the development data are not in {given.data}: name their folder with --data")
    rows = []
    for name in given.sets:
        data = wikipedia(given.data) if name == "wikipedia" else flickr8k(given.data)
        rows.append(reference_cca(data, _REFERENCE_WIDTH if name == "wikipedia" else HeadSettings().dim))
        say(rows[-1])
        for method in (METHODS[name] for name in given.methods):
            if method.needs_categories and data.train.categories is None:
                continue
            rows.append(fit(method, data, replace(HeadSettings(), method=method.name)))
            say(rows[-1])
    figures = headline(rows)
    say({"written": str(write("learning", rows, figures)), **figures})


def say(row: Row) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
