"""Whether a GPU pays here: searches timed on the processor and on the device, by items and by queries at a time."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import Config
from indexer.care.findings import Finding, note, ok

if TYPE_CHECKING:
    import torch

_COUNTS, _BATCHES = (10_000, 100_000, 1_000_000), (1, 32, 256)
_DIM = 256


def has_driver() -> bool:
    """Whether a GPU's driver is here. Nothing is imported to ask."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def examine_accelerator(config: Config) -> Iterator[Finding]:
    """The measured crossover from processor to GPU, where there is a driver; a few seconds, and about 1.5 GB."""
    if not has_driver() or config.search.device == "cpu":
        return
    try:
        import faiss
        import torch

        if not (torch.cuda.is_available() and faiss.get_num_gpus()):
            yield note("a GPU's driver is here, and it cannot be used by torch or FAISS", "searches take the processor")
            return
        rows = crossover(torch.device("cuda"), bits=config.codec.bits)
    except (RuntimeError, MemoryError) as error:  # another program may fill the device
        yield note(f"searches on the GPU could not be timed: {error}", "free the GPU, or set search.device to cpu")
        return
    if config.search.device == "cuda":
        yield note(
            f"search.device is cuda, and from {config.codec.lists_from:,} items of a kind on the processor searches "
            "all the same: it holds for hash codes",
            "raise codec.lists_from to search more by hash codes, if the times below say so",
        )
    for row in rows:
        faster = "the GPU" if row["device_ms"] < row["cpu_ms"] else "the processor"
        yield ok(
            f"{row['items']:,} items, {row['batch']} queries at once: {row['cpu_ms']:.3f} ms a query on the processor, "
            f"{row['device_ms']:.3f} ms on the GPU: {faster} takes less"
        )


def crossover(
    device: "torch.device",
    counts: tuple[int, ...] = _COUNTS,
    batches: tuple[int, ...] = _BATCHES,
    dim: int = _DIM,
    bits: int = 256,
) -> list[dict[str, Any]]:
    """Milliseconds of one query on both, by items and queries at a time: hash recall to 1,000 candidates, and refine.

    Codes and vectors are random: what a flat scan takes does not depend on them.
    """
    from engine.gpu import DeviceBackend, query_ms
    from engine.index import FaissBackend
    from engine.store import HeldRows

    rng, found = np.random.default_rng(0), []
    for count in counts:
        master = FaissBackend(bits, HeldRows.none(dim))
        codes = rng.integers(0, 256, (count, bits // 8), np.uint8)
        master.upsert(np.arange(count), codes, HeldRows(rng.standard_normal((count, dim), np.float32)), {})
        mirror = DeviceBackend(master, device)
        for batch in batches:
            cpu, there = (query_ms(backend, master, batch) for backend in (master, mirror))
            found.append({"items": count, "batch": batch, "cpu_ms": cpu, "device_ms": there})
    return found
