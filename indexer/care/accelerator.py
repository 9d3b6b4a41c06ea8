"""Whether a GPU pays here: searches timed on the processor and on the device, by items and by queries at a time."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.config import CodecSettings, Config
from indexer.care.findings import Finding, note, ok, problem

if TYPE_CHECKING:
    import torch

    from engine.index import FaissBackend
    from engine.lists import ListBackend

_COUNTS, _BATCHES = (10_000, 100_000, 1_000_000), (1, 32, 256)
_DIM, _BLOCK = 256, 65_536
_PROBES, _CANDIDATES = 48, 300  # lists, and what they hand on: enough of a million for a recall of 0.95


def has_driver() -> bool:
    """Whether a GPU's driver is here. Nothing is imported to ask."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def examine_accelerator(config: Config) -> Iterator[Finding]:
    """The measured crossover from processor to GPU, where there is a driver; half a minute, and about 1.6 GB."""
    if not has_driver() or config.search.device == "cpu":
        return
    try:
        import faiss
        import torch

        if not (torch.cuda.is_available() and faiss.get_num_gpus()):
            said = "a GPU's driver is here, and it cannot be used by torch or FAISS"
            if config.search.device == "cuda":
                yield problem(said, "set search.device to auto or cpu: searches fail")
            else:
                yield note(said, "searches take the processor")
            return
        rows = crossover(torch.device("cuda"), config.codec)
    except (RuntimeError, MemoryError) as error:  # another program may fill the device
        yield note(f"searches on the GPU could not be timed: {error}", "free the GPU, or set search.device to cpu")
        return
    for row in rows:
        yield _said(row)


def _said(row: dict[str, Any]) -> Finding:
    items = f"{row['items']:,} items, {row['codes']}"
    if "unfit" in row:
        return note(
            f"{items}: the processor searches them, whatever search.device says: {row['unfit']}",
            "another codec.kind, codec.bits or codec.parts has codes that a GPU takes",
        )
    faster = "the GPU" if row["device_ms"] < row["cpu_ms"] else "the processor"
    return ok(
        f"{items}, {row['batch']} queries at once: {row['cpu_ms']:.3f} ms a query on the processor, "
        f"{row['device_ms']:.3f} ms on the GPU: {faster} takes less"
    )


def crossover(
    device: "torch.device",
    settings: CodecSettings,
    counts: tuple[int, ...] = _COUNTS,
    batches: tuple[int, ...] = _BATCHES,
    dim: int = _DIM,
) -> list[dict[str, Any]]:
    """Milliseconds of one query on both, by items and queries at a time, with the codes that so many items get.

    Recall to 1,000 candidates of hash codes, or as deep as a million items in lists were measured to need, and refine.
    Codes and vectors are random: what a scan takes does not depend on them. What a GPU does not take has `unfit`, the
    reason, for its times.
    """
    from engine.device_codes import unfit
    from engine.gpu import mirrored, query_ms
    from engine.lists import ListBackend

    found: list[dict[str, Any]] = []
    for count in counts:
        master, name = _drawn(count, dim, settings)
        reason = unfit(master.codec) if isinstance(master, ListBackend) else None
        if reason is not None:
            found.append({"items": count, "codes": name, "unfit": reason})
            continue
        mirror = mirrored(master, device)
        for batch in batches:
            cpu, there = query_ms(master, batch), query_ms(mirror, batch)
            found.append({"items": count, "codes": name, "batch": batch, "cpu_ms": cpu, "device_ms": there})
    return found


def _drawn(count: int, dim: int, settings: CodecSettings) -> tuple["FaissBackend | ListBackend", str]:
    """An index of random rows, its codes of the kind that the settings give so many, and what these are called."""
    from engine.index import FaissBackend
    from engine.lists import Depths, ListBackend
    from engine.store import HeldRows
    from indexer.codecs.drawn import drawn_codec
    from indexer.codecs.fit import scans

    rng, rows, none = np.random.default_rng(0), HeldRows(np.empty((count, dim), np.float16)), HeldRows.none(dim)
    for start in range(0, count, _BLOCK):
        some = rows.vectors[start : start + _BLOCK]
        some[:] = rng.standard_normal(some.shape, np.float32)
    if not scans(settings, count):
        hashes = FaissBackend(settings.bits, none)
        hashes.upsert(np.arange(count), rng.integers(0, 256, (count, settings.bits // 8), np.uint8), rows, {})
        return hashes, "hash codes"
    codec = drawn_codec(settings, count, dim)
    lists = ListBackend(codec, none, Depths(_PROBES if len(codec.lists) else 1, _CANDIDATES, 0.0))
    lists.upsert(np.arange(count), rng.integers(0, 256, (count, codec.code_size), np.uint8), rows, {})
    lists.settle()
    return lists, f"{codec.kind} codes{' in lists' if len(codec.lists) else ''}"
