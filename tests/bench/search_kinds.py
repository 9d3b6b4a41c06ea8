"""What is compared: Rebus's cascades, FAISS's kinds, hnswlib and usearch, each built to files and asked at settings.

Every kind that refines reads the same float16 rows, memory-mapped. FAISS refines in its own IndexRefine.
"""

import functools
import importlib
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from engine.codecs import load_codec
from engine.codecs.hashing import SignHash
from engine.codecs.pq import ProductCode
from engine.index import FaissBackend, write_rows
from engine.lists import Depths, ListBackend
from engine.types import F32, I64
from indexer.codecs.pairs import Asked
from indexer.codecs.product import train_product
from tests.bench.search_set import AnnSet

Setting = dict[str, int]
Ask = Callable[[F32, int, Setting], I64]  # queries (n, d), how many, at which setting: positions (n, k)

PROBES, CANDIDATES = (8, 16, 24, 32, 48, 64, 96, 128, 256), (100, 150, 200, 300, 400, 600, 800, 1600)
_OPQ_ROUNDS, _OPQ_ROWS = 12, 12_000  # as Rebus's own has
EFS = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True, slots=True)
class Kind:
    """build: writes files into a folder; the seconds of training. load: how to ask them. settings: ascending."""

    owner: str
    build: Callable[[AnnSet, Path], float]
    load: Callable[[AnnSet, Path], Ask]
    settings: tuple[Setting, ...]


def lists_of(count: int) -> int:
    """As many lists as Rebus makes."""
    return 1 << round(math.log2(2 * math.sqrt(count)))


def _grid(**values: tuple[int, ...]) -> tuple[Setting, ...]:
    return tuple(dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))


# --- FAISS ---


def _factory(spec: str) -> Callable[[AnnSet, Path], float]:
    def build(made: AnnSet, folder: Path) -> float:
        index: Any = faiss.index_factory(
            made.base.shape[1], spec.format(lists=lists_of(len(made.base))), faiss.METRIC_INNER_PRODUCT
        )
        if "OPQ" in spec:  # its 50 rounds over 65,536 rows take many minutes
            rotation: Any = faiss.downcast_VectorTransform(index.chain.at(0))
            rotation.niter, rotation.max_train_points = _OPQ_ROUNDS, _OPQ_ROWS
        began, threads = time.perf_counter(), faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # its small problems take far longer with more, where a machine has other work
        index.train(made.sample())
        faiss.omp_set_num_threads(threads)
        trained = time.perf_counter() - began
        for start in made.starts():
            index.add(made.block(start))
        faiss.write_index(index, str(folder / "index"))
        return trained

    return build


def mapped_rows(made: AnnSet) -> Any:
    """The float16 rows as a FAISS index, memory-mapped."""
    path = made.folder / "rows.faiss"
    if not path.exists():
        rows: Any = faiss.IndexScalarQuantizer(
            made.base.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        rows.is_trained = True
        for start in made.starts():
            rows.add(made.block(start))
        faiss.write_index(rows, str(path))
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def _refined(made: AnnSet, folder: Path) -> Ask:
    first, rows = faiss.read_index(str(folder / "index")), mapped_rows(made)
    whole: Any = faiss.IndexRefine(first, rows)

    @functools.cache  # as Rebus's are: to make them takes a twentieth of a search
    def parameters(probes: int, candidates: int, k: int) -> Any:
        inner: Any = faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
        if isinstance(first, faiss.IndexPreTransform):
            inner = faiss.SearchParametersPreTransform(index_params=inner)  # type: ignore[call-arg]
        return faiss.IndexRefineSearchParameters(  # type: ignore[call-arg]
            k_factor=max(1.0, candidates / k), base_index_params=inner
        )

    def ask(queries: F32, k: int, setting: Setting) -> I64:
        found: I64 = whole.search(queries, k, params=parameters(setting["probes"], setting["candidates"], k))[1]
        return found

    return ask


def _flat(made: AnnSet, folder: Path) -> Ask:
    index: Any = faiss.read_index(str(folder / "index"))
    return lambda queries, k, _: index.search(queries, k)[1]


def _hnsw(made: AnnSet, folder: Path) -> Ask:
    index: Any = faiss.read_index(str(folder / "index"))

    def ask(queries: F32, k: int, setting: Setting) -> I64:
        parameters: Any = faiss.SearchParametersHNSW(efSearch=max(k, setting["ef"]))  # type: ignore[attr-defined]
        found: I64 = index.search(queries, k, params=parameters)[1]
        return found

    return ask


# --- Rebus ---


def _train_lists(parts: int) -> Callable[[AnnSet, Path], float]:
    def build(made: AnnSet, folder: Path) -> float:
        began = time.perf_counter()
        codec = train_product(Asked.of(made.sample(), made.train), parts, 4, lists_of(len(made.base)))
        trained = time.perf_counter() - began
        codec.save(folder / "codec")
        _write(made, folder, codec)
        return trained

    return build


def _write(made: AnnSet, folder: Path, codec: Any) -> None:
    codes = np.concatenate([codec.quantize(made.block(start)) for start in made.starts()])
    write_rows(folder, "image", np.arange(len(made.base)), codes, made.rows())


def _lists(made: AnnSet, folder: Path) -> Ask:
    codec = load_codec(folder, {"kind": ProductCode.kind, "file": "codec"})
    assert isinstance(codec, ProductCode)
    backend = ListBackend.load(folder, "image", codec, made.rows().store, Depths(1, 1, 0.0))

    def ask(queries: F32, k: int, setting: Setting) -> I64:
        depths = Depths(setting["probes"], max(k, setting["candidates"]), 0.0)
        if backend.depths != depths:
            backend.depths = depths
        return backend.search(queries, depths.candidates, k)[0]

    return ask


def _train_hashes(made: AnnSet, folder: Path) -> float:
    began = time.perf_counter()
    codec = SignHash.fit(made.sample(), 256)
    trained = time.perf_counter() - began
    codec.save(folder / "codec")
    _write(made, folder, codec)
    return trained


def _hashes(made: AnnSet, folder: Path) -> Ask:
    codec = SignHash.load(folder / "codec")
    backend = FaissBackend.load(folder, "image", 256, made.rows().store)

    def ask(queries: F32, k: int, setting: Setting) -> I64:
        found, _ = backend.hamming(codec.quantize_query(queries), max(k, setting["candidates"]))
        return backend.rescore(queries, found, k)[0]

    return ask


def _scanned(made: AnnSet, folder: Path) -> Ask:
    backend = FaissBackend.load(folder, "image", 256, made.rows().store)
    return lambda queries, k, _: backend.exact(queries, k)[0]


# --- others' graphs ---


def _build_hnswlib(made: AnnSet, folder: Path) -> float:
    index = importlib.import_module("hnswlib").Index("ip", made.base.shape[1])
    index.init_index(len(made.base), M=32, ef_construction=200)
    index.set_num_threads(faiss.omp_get_max_threads())
    for start in made.starts():
        index.add_items(made.block(start))
    index.save_index(str(folder / "index"))
    return 0.0


def _hnswlib(made: AnnSet, folder: Path) -> Ask:
    index = importlib.import_module("hnswlib").Index("ip", made.base.shape[1])
    index.load_index(str(folder / "index"))

    def ask(queries: F32, k: int, setting: Setting) -> I64:
        index.set_ef(max(k, setting["ef"]))
        return np.asarray(index.knn_query(queries, k, num_threads=1)[0], np.int64)

    return ask


def _build_usearch(made: AnnSet, folder: Path) -> float:
    index = importlib.import_module("usearch.index").Index(
        ndim=made.base.shape[1], metric="ip", dtype="i8", connectivity=32, expansion_add=128
    )
    for start in made.starts():
        rows = made.block(start)
        index.add(np.arange(start, start + len(rows)), rows, threads=faiss.omp_get_max_threads())
    index.save(str(folder / "index"))
    return 0.0


def _usearch(made: AnnSet, folder: Path) -> Ask:
    index = importlib.import_module("usearch.index").Index.restore(str(folder / "index"))

    def ask(queries: F32, k: int, setting: Setting) -> I64:
        if index.expansion_search != setting["ef"]:
            index.expansion_search = setting["ef"]
        found = index.search(queries, k, threads=1).keys
        return np.asarray(found, np.int64).reshape(len(queries), k)

    return ask


_CASCADE, _GRAPH = _grid(probes=PROBES, candidates=CANDIDATES), _grid(ef=EFS)

KINDS: dict[str, Kind] = {
    "Rebus, lists of PQ64x4": Kind("rebus", _train_lists(64), _lists, _CASCADE),
    "Rebus, lists of PQ96x4": Kind("rebus", _train_lists(96), _lists, _CASCADE),
    "Rebus, 256 hash bits": Kind("rebus", _train_hashes, _hashes, _grid(candidates=(250, 500, 1000, 2000, 4000))),
    "Rebus, exact scan in place": Kind("rebus", _train_hashes, _scanned, ({},)),
    "FAISS Flat": Kind("faiss", _factory("Flat"), _flat, ({},)),
    "FAISS OPQ64,PQ64x4fs + refine": Kind("faiss", _factory("OPQ64,IVF{lists},PQ64x4fs"), _refined, _CASCADE),
    "FAISS OPQ64,PQ64x4fsr + refine": Kind("faiss", _factory("OPQ64,IVF{lists},PQ64x4fsr"), _refined, _CASCADE),
    "FAISS OPQ88,PQ88x4fsr + refine": Kind("faiss", _factory("OPQ88_264,IVF{lists},PQ88x4fsr"), _refined, _CASCADE),
    "FAISS OPQ96,PQ96x4fs + refine": Kind("faiss", _factory("OPQ96_288,IVF{lists},PQ96x4fs"), _refined, _CASCADE),
    "FAISS OPQ96,PQ96x4fsr + refine": Kind("faiss", _factory("OPQ96_288,IVF{lists},PQ96x4fsr"), _refined, _CASCADE),
    "FAISS RaBitQfs 1 bit + refine": Kind("faiss", _factory("RR256,IVF{lists},RaBitQfs"), _refined, _CASCADE),
    "FAISS RaBitQfs 2 bits + refine": Kind("faiss", _factory("RR256,IVF{lists},RaBitQfs2"), _refined, _CASCADE),
    "FAISS HNSW32,SQ8": Kind("faiss", _factory("HNSW32,SQ8"), _hnsw, _GRAPH),
    "hnswlib, M 32": Kind("hnswlib", _build_hnswlib, _hnswlib, _GRAPH),
    "usearch, i8": Kind("usearch", _build_usearch, _usearch, _GRAPH),
}
