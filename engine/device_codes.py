"""Codes on a GPU, as FAISS compares them: hash codes in a GpuIndexBinaryFlat, others in a GpuIndexIVFPQ.

That takes parts of 8 bits alone. Our parts of 4 bits are paired for it: the bytes stay, the words are all pairs. And it
takes only what centroids leave: where codes lie in no lists, it has one about zero.

Where the device is no GPU, the same indexes answer on the processor: all but the last step can be tested anywhere.
"""

from typing import Any, NamedTuple

import faiss
import numpy as np
import torch

from engine.codecs import Scanned
from engine.codecs.hashing import ScaledHash
from engine.codecs.pq import paired, product_lists
from engine.index import FaissBackend
from engine.lists import FAST_SCAN_BITS, ListBackend, packed
from engine.types import I64, U8

DEEPEST = 2048  # what FAISS selects on a GPU: candidates, and lists
SCRATCH = 1 << 29  # bytes that FAISS works in: its own choice is up to three times as many, for each kind of items
# Bytes of a code that FAISS has kernels for, and the longest whose tables fit into 48 KiB, what every GPU gives a block
# of threads, as float32: longer ones are looked up as float16.
_SIZES = frozenset((1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96))
_FLOATS = 48


class DeviceCodes(NamedTuple):
    """Living codes on a device. positions: the master's row of each (n,). resources: FAISS's, which outlive them."""

    index: Any
    positions: I64
    resources: Any


def codes_on(master: FaissBackend | ListBackend, device: torch.device) -> DeviceCodes:
    """The living codes, on the first GPU, or, for another device, on the processor."""
    living = np.flatnonzero(master.alive)
    codes = np.ascontiguousarray(master.codes[living])
    index = _flat(master.bits, codes) if isinstance(master, FaissBackend) else _lists(master, codes)
    if device.type != "cuda":
        return DeviceCodes(index, living, None)
    resources: Any = faiss.StandardGpuResources()
    resources.setTempMemory(SCRATCH)
    return DeviceCodes(_moved(index, resources), living, resources)


def unfit(codec: Scanned) -> str | None:
    """Why FAISS cannot search these codes on a GPU, or None."""
    if isinstance(codec, ScaledHash):
        return "FAISS searches no hash codes with factors (RaBitQ) on a GPU"
    quantizer = codec.quantizer
    if quantizer.nbits == FAST_SCAN_BITS and quantizer.M % 2:
        return f"{quantizer.M} parts of 4 bits are no whole bytes"
    if quantizer.code_size not in _SIZES:
        sizes = ", ".join(map(str, sorted(_SIZES)))
        return f"FAISS searches codes of {sizes} bytes on a GPU, and these are of {quantizer.code_size}"
    return None


def _flat(bits: int, codes: U8) -> Any:
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(codes)
    return flat


def _lists(master: ListBackend, codes: U8) -> Any:
    numbers, rest = master.codec.split(codes)
    coarse = faiss.IndexFlatIP(master.centroids.shape[1])
    coarse.add(np.ascontiguousarray(master.centroids))
    return packed(product_lists(paired(master.codec.quantizer), coarse, residual=True), numbers, rest)


def _moved(index: Any, resources: Any) -> Any:
    """The index, on the first GPU: what nothing but a GPU can test."""
    if isinstance(index, faiss.IndexBinary):
        return faiss.index_binary_cpu_to_gpu(resources, 0, index)
    how: Any = faiss.GpuClonerOptions()
    how.use_cuvs = False  # whose limits are others
    how.useFloat16 = index.pq.code_size > _FLOATS  # of the looked-up tables
    return faiss.index_cpu_to_gpu(resources, 0, index, how)  # not its class, which would keep the index here, too
