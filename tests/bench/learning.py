"""Every method of `rebus train`, side by side: `make bench-learning`. Development data lie in ../shared/data.

Flickr8k: MobileNetV2's features and captions of 6,000 training pictures, measured on the 1,000 of val. Wikipedia:
2,173 training pairs, measured on the 693 test items of the other kind, over the full ranking. A fit is `rebus train`'s
own, with each method's own settings; what is measured no fit has seen. The table goes into README.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.io import loadmat

from engine.aligners import Aligner
from engine.aligners.fusion import Fusion
from engine.aligners.texts import Lexical
from engine.config import HeadSettings
from engine.heads import Head
from engine.types import F32, I64, Array, Modality
from indexer.heads.closed_forms import Data, linear
from indexer.heads.fitting import Fitted, fit_head, spoil, text_of
from indexer.heads.judging import rank
from indexer.heads.methods import METHODS, Method
from indexer.heads.run import MISMATCHED
from indexer.heads.stored_pairs import StoredPairs
from indexer.metrics import ranks, recall
from indexer.objectives.closed_form import cca
from tests.bench.learning_table import write_table
from tests.bench.report import RESULTS, write

DATA = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "data"
_LSA = 400

Row = dict[str, Any]


@dataclass(frozen=True)
class Set:
    """A data set. measured: pairs that no fit sees, by language; robustness is measured on the first."""

    name: str
    train: StoredPairs
    measured: Mapping[str, StoredPairs]

    @property
    def dims(self) -> dict[Modality, int]:
        known = {Modality.IMAGE: self.train.images, Modality.TEXT: self.train.texts}
        return {modality: x.shape[1] for modality, x in known.items() if x is not None}


def pairs(
    images: F32, words: Sequence[str], owner: I64, texts: F32 | None = None, of: I64 | None = None
) -> StoredPairs:
    ones, none = np.ones(len(owner), np.float32), np.empty((0, 2), np.int64)
    return StoredPairs(images, texts, tuple(words), owner, of, ones, none)


def flickr8k(data: Path, languages: Sequence[str]) -> Set:
    """Features of MobileNetV2, and the captions of these languages, learned from together."""
    folder = data / "flickr8k"
    features = np.load(folder / "mobilenetv2_gap1280_f16.npy", allow_pickle=False).astype(np.float32)
    place = {name: row for row, name in enumerate((folder / "image_names.txt").read_text().split())}
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]

    def side(split: str, of: Sequence[str]) -> StoredPairs:
        chosen = [row for row in rows if row["split"] == split]
        said = [[text for language in of for text in row[language]] for row in chosen]
        owner = np.repeat(np.arange(len(chosen)), [len(texts) for texts in said])
        return pairs(
            features[[place[row["image"]] for row in chosen]], [text for texts in said for text in texts], owner
        )

    name = "-".join(["flickr8k", *languages])
    return Set(name, side("train", languages), {language: side("val", [language]) for language in languages})


def wikipedia(data: Path) -> Set:
    """SIFT histograms and topic shares, with ten categories."""
    folder = data / "wikipedia"
    arrays = loadmat(folder / "raw_features.mat")
    made = []
    for part, listed in (("tr", "trainset_txt_img_cat.list"), ("te", "testset_txt_img_cat.list")):
        lines = (folder / listed).read_text().splitlines()
        of = np.array([int(line.split("\t")[2]) - 1 for line in lines])
        images, texts = (np.ascontiguousarray(arrays[f"{kind}_{part}"], np.float32) for kind in "IT")
        made.append(pairs(images, [""] * len(of), np.arange(len(of)), texts, of))
    return Set("wikipedia", made[0], {"test": made[1]})


def fit(method: Method, train: StoredPairs, data: Set, settings: HeadSettings) -> Fitted:
    with TemporaryDirectory() as scratch:
        text = text_of(method, settings, embedded=train.texts is not None)
        return fit_head(method, settings, train, text, data.dims, data.name, torch.device("cpu"), Path(scratch), quiet)


def row_of(method: Method, data: Set, settings: HeadSettings, *, robust: bool) -> Row:
    """One method on one set: what it finds, beside the same shape untrained and chance; what it takes."""
    fitted = fit(method, data.train, data, settings)
    head, (first, given) = fitted.head, next(iter(data.measured.items()))
    row: Row = {"method": method.name, "dataset": data.name, "family": method.family, "source": method.source}
    row |= {"text": fitted.text, "dim": head.aligner.dim, "seconds": round(fitted.seconds, 1)}
    row |= {"epochs": len(fitted.curve), "max_minutes": settings.max_minutes}
    row["threads"] = torch.get_num_threads()
    row |= {"parameters": sum(value.numel() for value in head.aligner.state_dict().values())}
    row |= measure(head, given) | {"untrained": measure(untrained(head), given), "chance": chance(given)}
    row |= {other: measure(head, held) for other, held in data.measured.items() if other != first}
    row["fit"] = {name: round(value, 4) for name, value in fitted.best.items()}
    if robust:
        row["mismatched"] = measure(fit(method, spoil(data.train, MISMATCHED, 0), data, settings).head, given)
        if given.texts is None:
            row["known_by"] = known_by(head, given)
    return row


def measure(head: Head, given: StoredPairs) -> dict[str, float]:
    return {name: round(value, 4) for name, value in rank(head, given).figures.items()}


def known_by(head: Head, given: StoredPairs) -> dict[str, float]:
    """R@10 of a picture's last caption for items known by their picture, by their other captions, and by both.

    An aligner that fuses does so; else the rows are added. So it is seen what a missing modality costs.
    """
    last = np.append(np.flatnonzero(np.diff(given.owner)), len(given.owner) - 1)
    others = np.setdiff1d(np.arange(len(given.owner)), last)
    queries = head.project_texts([given.words[i] for i in last])
    seen = head.project(given.images, Modality.IMAGE)
    said = mean_rows(head.project_texts([given.words[i] for i in others]), given.owner[others])
    both = fused(head, given, others) if isinstance(head.aligner, Fusion) else mean_rows(
        np.concatenate([seen, said]), np.tile(np.arange(len(given)), 2)
    )  # fmt: skip
    label = np.arange(len(given))
    known = {"picture": seen, "captions": said, "both": both}
    return {name: round(recall(ranks(queries, rows, label, label), 10), 4) for name, rows in known.items()}


@torch.inference_mode()
def fused(head: Head, given: StoredPairs, others: I64) -> F32:
    assert isinstance(head.aligner, Fusion) and head.texts is not None
    each = [others[given.owner[others] == picture] for picture in range(len(given))]
    sets = [head.texts([given.words[i] for i in rows]) for rows in each]
    captions = torch.nested.nested_tensor(sets).to_padded_tensor(0) if sets[0].ndim == 2 else torch.stack(sets)
    out: F32 = head.aligner.fuse({Modality.IMAGE: torch.from_numpy(given.images), Modality.TEXT: captions}).numpy()
    return out


def mean_rows(rows: F32, owner: I64) -> F32:
    total = np.zeros((int(owner.max()) + 1, rows.shape[1]), np.float32)
    np.add.at(total, owner, rows)
    unit: F32 = total / np.linalg.norm(total, axis=1, keepdims=True)
    return unit


def chance(given: StoredPairs) -> dict[str, float]:
    """Recall at 10 of an order at random; and mAP, about the share of the right items."""
    n, each = len(given), len(given.owner) / len(given)
    figures = {"t2i_r10": 10 / n, "i2t_r10": 1 - (1 - 1 / n) ** 10 if each > 1 else 10 / n}
    if given.categories is not None:
        figures["map"] = float(((np.bincount(given.categories) / n) ** 2).sum())
    return {name: round(value, 4) for name, value in figures.items()}


def untrained(head: Head) -> Head:
    """The same shape with numbers at random where training puts its own; kernels keep what they compare with."""
    made = type(head.aligner)(**head.aligner.shape)
    made.load_state_dict(head.aligner.state_dict())
    generator = torch.Generator().manual_seed(0)
    for name, value in made.state_dict().items():
        if value.ndim > 1 and not name.endswith("landmarks"):
            value.copy_(torch.randn(value.shape, generator=generator) * value.std())
    return Head(made.eval(), head.dims, head.texts)


def reference_cca(data: Set, width: int) -> Row:
    """CCA without loading and with unweighted variates, as the figures to compare with were measured."""
    words = (
        None if data.train.texts is not None else Lexical.learn(data.train.words, HeadSettings().vocabulary, _LSA, 0)
    )
    texts = data.train.texts if words is None else words(data.train.words).numpy()
    assert texts is not None
    m = Data(data.train.images, texts, data.train.owner, data.train.weights).moments
    a, b, _ = cca(m, 1e-6, width)
    sides: dict[Modality, dict[str, Array]] = {
        Modality.IMAGE: {"mean": m.mean_x, "matrix": a},
        Modality.TEXT: {"mean": m.mean_y, "matrix": b},
    }
    aligner: Aligner = linear(sides)
    head = Head(aligner, data.dims, words)
    row: Row = {"method": f"textbook cca, {width} variates", "dataset": data.name}
    return row | measure(head, next(iter(data.measured.values())))


def headline(rows: Sequence[Row]) -> dict[str, float]:
    """The names that every release is compared by."""
    found: dict[str, float] = {}
    flickr = [row for row in rows if row["dataset"] == "flickr8k-en"]
    wiki = [row for row in rows if row["dataset"] == "wikipedia"]
    if flickr:
        best = max(flickr, key=lambda row: row["r10"])
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
    parser.add_argument("--keep", action="store_true", help="keep the last result's rows of what is not measured now")
    parser.add_argument("--minutes", type=float, default=HeadSettings().max_minutes, help="of one fit, at most")
    parser.add_argument("--no-robustness", action="store_true", help="fit each method once, not also to spoiled pairs")
    given = parser.parse_args()
    if not given.data.is_dir():
        sys.exit(f"the development data are not in {given.data}: name their folder with --data")
    rows: list[Row] = []
    settings = HeadSettings(max_minutes=given.minutes)
    for name in given.sets:
        data = wikipedia(given.data) if name == "wikipedia" else flickr8k(given.data, ["en"])
        rows.append(say(reference_cca(data, 6 if name == "wikipedia" else 256)))
        for method in (METHODS[name] for name in given.methods):
            if data.train.categories is not None or not method.needs_categories:
                rows.append(say(row_of(method, data, settings, robust=not given.no_robustness)))
        if name == "flickr8k" and settings.method in given.methods:
            both = flickr8k(given.data, ["en", "zh"])
            rows.append(say(row_of(METHODS[settings.method], both, settings, robust=False)))
    if given.keep:
        rows = kept(rows) + rows
    figures = headline(rows)
    say({"written": str(write("learning", rows, figures)), **figures})
    write_table()


def kept(rows: Sequence[Row]) -> list[Row]:
    """Rows of the last result that are not among these."""
    anew = {(row["method"], row["dataset"]) for row in rows}
    last: list[Row] = json.loads((RESULTS / "learning.json").read_text(encoding="utf-8"))["rows"]
    return [row for row in last if (row["method"], row["dataset"]) not in anew]


def quiet(figures: Mapping[str, float], epoch: int, epochs: int) -> None:
    """Nobody watches."""


def say(row: Row) -> Row:
    sys.stderr.write(json.dumps(row) + "\n")
    sys.stderr.flush()
    return row


if __name__ == "__main__":
    main()
