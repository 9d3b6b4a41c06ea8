"""The set that searches are measured on: photographs' vectors, and captions as queries, with the exact answers.

`../shared/tools/ann_set.py` makes it of real vectors. The captions of one photograph stay on one side: what is trained
for queries has not seen those that are asked, nor others of the same photograph.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from engine.store import EmbeddingStore, StoredRows
from engine.types import F32, I64, Array

SHARED = Path(__file__).parents[3] / "shared"
DEPTH = 100
_BLOCK, _ASKED_OF = 100_000, 5  # one in five photographs' captions are asked


@dataclass(frozen=True, slots=True)
class AnnSet:
    """base: (n, d) float16, on the disk. train, asked: captions (m, d). truth: (asked, DEPTH) positions, best first."""

    folder: Path
    base: Array
    train: F32
    asked: F32
    truth: I64

    def blocks(self) -> list[F32]:
        """The base in float32, block by block."""
        return [self.block(start) for start in range(0, len(self.base), _BLOCK)]

    def block(self, start: int) -> F32:
        """Some rows from one on."""
        return np.asarray(self.base[start : start + _BLOCK], np.float32)

    def starts(self) -> range:
        """Where blocks begin."""
        return range(0, len(self.base), _BLOCK)

    def sample(self, count: int = 100_000) -> F32:
        """Rows to train on."""
        chosen = np.sort(np.random.default_rng(0).permutation(len(self.base))[:count])
        return np.asarray(self.base[chosen], np.float32)

    def rows(self) -> StoredRows:
        """The base in an embedding store, as a library has it."""
        store = EmbeddingStore(self.folder / "store", self.base.shape[1])
        if store.rows() < len(self.base):
            for start in range(store.rows(), len(self.base), _BLOCK):
                store.append(self.block(start))
        places = np.arange(len(self.base))
        return StoredRows(
            store, (places // store.shard_rows).astype(np.int32), (places % store.shard_rows).astype("i4")
        )


def made(work: Path, size: int, questions: int) -> AnnSet:
    """The set of this size in a folder of its own, made at the first time."""
    folder = work / f"{size}"
    if not (folder / "queries_f32.npy").exists():
        subprocess.run([sys.executable, SHARED / "tools" / "ann_set.py", folder, "--n", str(size)], check=True)
    base = np.load(folder / "base_f16.npy", mmap_mode="r")
    queries = np.load(folder / "queries_f32.npy")
    asked = _owners(queries) % _ASKED_OF == 0
    chosen = np.flatnonzero(asked)[:questions]
    known = folder / f"truth_{questions}.npy"
    found = AnnSet(folder, base, queries[~asked], np.ascontiguousarray(queries[chosen]), np.empty((0, 0), np.int64))
    if not known.exists():
        np.save(known, _truth(found))
    return AnnSet(folder, base, found.train, found.asked, np.load(known))


def _owners(queries: F32) -> I64:
    """The photograph (n,) that each caption describes."""
    captions = np.load(SHARED / "data" / "joint256" / "captions_f16.npy").astype(np.float32)
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    owners = np.load(SHARED / "data" / "joint256" / "caption_owner.npy")
    known = {row.tobytes(): int(owner) for row, owner in zip(captions, owners, strict=True)}
    return np.array([known[row.tobytes()] for row in queries], np.int64)


def _truth(made: AnnSet) -> I64:
    count = len(made.asked)
    best, ids = np.full((count, DEPTH), -np.inf, np.float32), np.full((count, DEPTH), -1, np.int64)
    for start in made.starts():
        flat = faiss.IndexFlatIP(made.base.shape[1])
        flat.add(made.block(start))
        scores, found = flat.search(made.asked, DEPTH)
        best, ids = np.concatenate([best, scores], 1), np.concatenate([ids, np.where(found < 0, -1, found + start)], 1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :DEPTH]
        best, ids = np.take_along_axis(best, order, 1), np.take_along_axis(ids, order, 1)
    return ids
