"""FAISS over memory that is not its own: float16 rows that lie on the disk, and codes packed without gaps."""

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from engine.types import F16, F32, I64, U8

_ALIGNED = 64  # bytes: what FAISS's kernels read at once, at most
_MAP_FIXED, _NORESERVE = 0x10, 0x4000  # Linux's; Python's mmap has no names for them


def mapped_files(paths: Sequence[Path], sizes: Sequence[int]) -> U8 | None:
    """The first `sizes` bytes of files, one behind another in memory and still on the disk.

    None where the system cannot map a file behind another: outside Linux, and for files that are no whole pages.
    """
    if len(paths) == 1:
        return np.asarray(np.memmap(paths[0], np.uint8, "r", shape=(sizes[0],)))
    return _joined(paths, sizes, sum(sizes))


def joined_rows(paths: Sequence[Path], sizes: Sequence[int], more: F16) -> tuple[U8, int] | None:
    """`mapped_files` with more rows (n, d) in memory behind them, and how many rows lie before these; or None.

    Between both lie up to two pages of nothing.
    """
    width = 2 * more.shape[1]
    start = -(-_whole_pages(sum(sizes)) // width)
    memory = _joined(paths, sizes, (start + len(more)) * width)
    if memory is None:
        return None
    memory[start * width :] = more.view(np.uint8).ravel()
    return memory, start


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _joined(paths: Sequence[Path], sizes: Sequence[int], total: int) -> U8 | None:
    """Files one behind another, then memory of its own, from the next page up to `total` bytes."""
    if sys.platform != "linux" or any(size % mmap.PAGESIZE for size in sizes[:-1]):
        return None
    libc, files = ctypes.CDLL(None, use_errno=True), _whole_pages(sum(sizes))
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    own = mmap.PROT_READ | mmap.PROT_WRITE
    start = libc.mmap(None, max(total, files), own, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE, -1, 0)
    if start in (None, ctypes.c_void_p(-1).value):
        return None
    memory: U8 = np.ctypeslib.as_array((ctypes.c_uint8 * total).from_address(start))
    end = weakref.finalize(memory, libc.munmap, start, max(total, files))
    end.atexit = False  # type: ignore[misc]  # a thread may search to the last
    place = start
    for path, size in zip(paths, sizes, strict=True):
        with path.open("rb") as file:
            kind = mmap.MAP_SHARED | _MAP_FIXED
            if libc.mmap(place, size, mmap.PROT_READ, kind, file.fileno(), 0) != place:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
        place += size
    return memory


def half_index(memory: U8, dim: int) -> Any:
    """A FAISS index of the float16 rows of this width in memory, compared by inner products."""
    index: Any = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.codes = _view(memory, index.codes)
    index.ntotal, index.is_trained = len(memory) // (2 * dim), True
    index.referenced_objects = [memory]
    return index


def flat_index(rows: F32) -> Any:
    """A FAISS index of float32 rows (n, d) in memory, compared by inner products."""
    index: Any = faiss.IndexFlatIP(rows.shape[1])
    index.codes = _view(rows.view(np.uint8).ravel(), index.codes)
    index.ntotal, index.referenced_objects = len(rows), [rows]
    return index


def refined(first: Any, rows: Any) -> Any:
    """A FAISS index of what `first` finds, ordered anew by `rows`, which may be more than those of `first`."""
    there, rows.ntotal = rows.ntotal, first.ntotal  # FAISS asks for as many, once
    index: Any = faiss.IndexRefine(first, rows)
    index.ntotal = rows.ntotal = there  # what may be found: the numbers that `first` says
    return index


def renumber(index: Any, numbers: I64) -> None:
    """Let an index of inverted lists say the numbers (n,) of positions in place of these."""
    for number in range(index.nlist):
        count = index.invlists.list_size(number)
        if count:
            said = faiss.rev_swig_ptr(index.invlists.get_ids(number), count)
            said[:] = numbers[said]


def pack_lists(index: Any) -> None:
    """Put a fast-scan index's codes into one block, after which nothing can be added.

    FAISS gives each list's codes a power of two of bytes, a quarter more than they need.
    """
    before, none = index.invlists, faiss.MaybeOwnedVectorUInt8()
    counts = np.array([before.list_size(number) for number in range(index.nlist)])
    block_bytes = index.get_block_stride()  # of bbs codes, and what belongs to them
    bounds = np.append(0, np.cumsum(-(-counts // index.bbs) * block_bytes)).tolist()
    block = np.empty(bounds[-1] + _ALIGNED, np.uint8)
    block = block[-block.ctypes.data % _ALIGNED :]
    lists: Any = faiss.ArrayInvertedLists(index.nlist, 0)  # ids are its own, codes are views
    views: Any = faiss.MaybeOwnedVectorUInt8Vector()  # type: ignore[attr-defined]
    for number, count in enumerate(counts.tolist()):
        codes = block[bounds[number] : bounds[number + 1]]
        if count:
            codes[:] = faiss.rev_swig_ptr(before.get_codes(number), len(codes))
            lists.add_entries(number, count, before.get_ids(number), faiss.swig_ptr(codes))
        views.push_back(_view(codes, none) if count else none)
    lists.codes, lists.code_size = views, index.code_size
    index.replace_invlists(lists, False)
    index.referenced_objects = [*index.referenced_objects, lists, block]


def _view(memory: U8, like: Any) -> Any:
    """FAISS's vector that looks at memory; `like` owns nothing that the view would have to keep."""
    views: Any = faiss.MaybeOwnedVectorUInt8
    return views.create_view(faiss.swig_ptr(memory), memory.nbytes, like.owner)
