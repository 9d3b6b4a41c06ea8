"""Every codec beside FAISS's own at equal bytes: what it loses of vectors, of scores, and of the first ten.

`make bench-codes`, on two sets. "real": photographs and captions of Flickr8k, trained on those of its training split;
errors are of the validation split, and searched are the training photographs. "200,000": the set of `ann_set.py`, no
inverted lists, asked by captions whose photographs' captions were not trained on, and by rows that are not in it.

*_vector_mse: squared length of what decoding loses, of unit rows. captions_vector_mse: of captions, coded by the same
codec. *_score_mse: squared error of the inner product, of all captions or pictures with the pictures held out.
*_first_error: root mean square of the error of scores within a query's true first hundred, less what these have in
common: what all share changes no rank. *_recall10_in100: of the true first ten among the first hundred by codes alone.
perplexity: of the use of codewords, of 256, by what is searched. Seconds are of processor time.

Each codec is measured in a process of its own, and written as it comes; one that takes too long is a row that says so.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from engine.types import F32, I64
from indexer.codecs.additive import perplexity
from tests.bench.code_kinds import COMPARED, Compared, Lesson
from tests.bench.report import last, stamp, write
from tests.bench.search_set import SHARED, made
from tests.bench.support import say

_FIRST, _TOP = 100, 10
_SEARCHED, _HELD = 200_000, 500
_SETS = {"real": "real", "large": f"{_SEARCHED:,}"}


@dataclass(frozen=True, slots=True)
class CodeSet:
    """lesson: what is trained on. base: what is searched. captions, pictures: queries that nothing has seen."""

    name: str
    lesson: Lesson
    base: F32
    captions: F32
    pictures: F32


def real() -> CodeSet:
    """Photographs and captions of Flickr8k in the joint space."""
    place, listed = SHARED / "data" / "joint256", SHARED / "data" / "flickr8k" / "captions.jsonl"
    splits = [json.loads(line)["split"] for line in listed.read_text(encoding="utf-8").splitlines()]
    train, owners = np.array(splits) == "train", np.load(place / "caption_owner.npy")
    photographs, captions = _unit(np.load(place / "images_f16.npy")), _unit(np.load(place / "captions_f16.npy"))
    lesson = Lesson.of(photographs[train], captions[train[owners]])
    return CodeSet(_SETS["real"], lesson, lesson.rows, captions[~train[owners]], photographs[~train])


def large(work: Path) -> CodeSet:
    """200,000 rows made of these."""
    data = made(work, _SEARCHED + _HELD, _HELD)
    base, fresh = np.split(np.asarray(data.base, np.float32), [_SEARCHED])
    sample = base[np.sort(np.random.default_rng(0).permutation(_SEARCHED)[: _SEARCHED // 2])]
    return CodeSet(_SETS["large"], Lesson.of(sample, data.train), base, data.asked, fresh)


def code_rows(data: CodeSet, compared: Sequence[Compared]) -> Iterator[dict[str, Any]]:
    """One row a codec."""
    queries = {"captions": data.captions, "pictures": data.pictures}
    judged = {name: (asking, exact(data.base, asking)) for name, asking in queries.items()}
    for one in compared:
        started = time.process_time()
        coder = one.fit(data.lesson)
        trained = time.process_time()
        codes = coder.encode(data.base)
        took = {"train_s": round(trained - started, 1), "encode_s": round(time.process_time() - trained, 1)}
        row = {**told(data.name, one), **took}
        row |= {f"{name}_vector_mse": _mse(coder.decode(coder.encode(some)) - some) for name, some in queries.items()}
        row |= score_errors(data.pictures, coder.decode(coder.encode(data.pictures)), queries)
        row |= judge(data.base, coder.decode(codes), judged)
        yield row | ({"perplexity": perplexity(codes)} if coder.words else {})


def told(data: str, one: Compared) -> dict[str, Any]:
    """What tells a row from others: the set, and the codec."""
    return {"set": data, "codec": one.name, "owner": one.owner, "aim": one.aim, "bytes": one.size}


def exact(base: F32, queries: F32) -> I64:
    """The true first hundred of each query."""
    flat = faiss.IndexFlatIP(base.shape[1])
    flat.add(np.ascontiguousarray(base))
    out: I64 = flat.search(np.ascontiguousarray(queries), _FIRST)[1]
    return out


def score_errors(rows: F32, decoded: F32, queries: dict[str, F32]) -> dict[str, float]:
    """Mean squared errors of inner products of queries with rows (n, d); of a row with itself there is none."""
    found = {}
    for name, asking in queries.items():
        missed = asking @ (rows - decoded).T
        others = ~np.eye(len(rows), dtype=bool) if asking is rows else np.ones(missed.shape, bool)
        found[f"{name}_score_mse"] = round(float((missed[others] ** 2).mean()), 7)
    return found


def judge(base: F32, decoded: F32, judged: dict[str, tuple[F32, I64]]) -> dict[str, float]:
    """Errors within the true first hundred, and recalls, of decoded vectors (n, d)."""
    row = {}
    for name, (queries, truth) in judged.items():
        misses = np.stack([(base[ids] - decoded[ids]) @ query for query, ids in zip(queries, truth, strict=True)])
        row[f"{name}_first_error"] = round(float(np.sqrt(misses.var(axis=1).mean())), 5)
        first = exact(decoded, queries)
        right = [len(np.intersect1d(a[:_TOP], b)) / _TOP for a, b in zip(truth, first, strict=True)]
        row[f"{name}_recall10_in100"] = round(float(np.mean(right)), 4)
    return row


def _mse(error: F32) -> float:
    return round(float((error**2).sum(1).mean()), 5)


def _unit(x: F32) -> F32:
    x = x.astype(np.float32)
    out: F32 = x / np.linalg.norm(x, axis=1, keepdims=True)
    return out


def headline(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The best recall of captions without lists, within 40 and 32 bytes."""
    said = {}
    for owner in ("rebus", "faiss"):
        for size in (40, 32):
            own = [r for r in rows if r["set"] != "real" and r["owner"] == owner and r["bytes"] <= size]
            fit = [r for r in own if "given_up_s" not in r]
            if fit:
                name = f"{'faiss_' if owner == 'faiss' else ''}recall10_in100_{size}B"
                said[name] = max(r["captions_recall10_in100"] for r in fit)
    return said


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown: of captions, then of pictures, in each column."""
    lines = [
        "| set | codec | trained for | bytes | error of vectors | of scores, squared, 10⁻³ | "
        "of scores in the first 100 | recall | perplexity | train s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        named = [row["set"], row["codec"], row["aim"], str(row["bytes"])]
        if "given_up_s" in row:
            lines.append("| " + " | ".join([*named, f"given up after {row['given_up_s']:,.0f} s"]) + " |" * 6)
            continue

        def both(name: str, form: str, scale: float = 1, row: dict[str, Any] = row) -> str:
            return " ".join(format(row[f"{kind}_{name}"] * scale, form) for kind in ("captions", "pictures"))

        cells = [both("vector_mse", ".3f"), both("score_mse", ".2f", 1e3), both("first_error", ".4f")]
        cells += [both("recall10_in100", ".3f"), f"{row.get('perplexity', '')}", f"{row['train_s']:.0f}"]
        lines.append("| " + " | ".join([*named, *cells]) + " |")
    return "\n".join(lines)


def keep(row: dict[str, Any]) -> None:
    """Write a row in place of the one that was there."""
    rows = {_key(known): known for known in last("codes")} | {_key(row): {**row, **stamp()}}
    write("codes", sorted(rows.values(), key=_key), headline(list(rows.values())))


def main() -> None:
    """Measure; rows of a codec that was left out are kept as they were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/bench-search"), help="where sets are kept")
    parser.add_argument("--sets", nargs="*", default=["real", "large"], choices=["real", "large"])
    parser.add_argument("--codecs", default="", help="parts of the names of those to measure; all of them")
    parser.add_argument("--lacking", action="store_true", help="of these, what the result has no row of")
    parser.add_argument("--limit", type=float, default=1500, help="seconds after which measuring a codec is given up")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        data = real() if args.sets == ["real"] else large(args.work)
        for row in code_rows(data, [COMPARED[args.measure]]):
            say(json.dumps(row))
            keep(row)
        return
    for name in args.sets:
        measure_all(name, args.codecs.split(","), args.limit, {_key(row) for row in last("codes") if args.lacking})
    say(table(last("codes")))


def measure_all(data: str, parts: Sequence[str], limit: float, known: Collection[tuple[Any, ...]]) -> None:
    """Each codec whose name has one of these parts and whose row is not known, for so many seconds at most."""
    for number, one in enumerate(COMPARED):
        row = told(_SETS[data], one)
        if _key(row) in known or not any(part in one.name for part in parts):
            continue
        command = [sys.executable, "-m", "tests.bench.codes", *sys.argv[1:], "--sets", data, "--measure", str(number)]
        try:
            subprocess.run(command, check=True, timeout=limit)
        except subprocess.TimeoutExpired:
            keep({**row, "given_up_s": limit})


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["set"], row["owner"], row["codec"], row["bytes"], row["aim"]


if __name__ == "__main__":
    main()
