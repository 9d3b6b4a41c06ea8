"""How much memory an index holds, counted from what its objects are made of."""

from mmap import mmap
from typing import Any

import faiss
import numpy as np

from engine.mapped import MappedRows


def resident_bytes(thing: Any) -> int:
    """Bytes of the arrays and FAISS indexes below an object of the engine, each once: codes, ids, places, tables.

    Memory maps are left out: the system keeps of them what it has room for.
    """
    return _bytes(thing, set())


def _bytes(thing: Any, seen: set[int]) -> int:
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        whole = thing
        while isinstance(whole.base, np.ndarray):  # a view keeps all of what it is a view of
            whole = whole.base
        mapped = isinstance(whole.base, mmap) or isinstance(whole, np.memmap)
        return 0 if mapped or (whole is not thing and id(whole) in seen) else _counted(whole, seen)
    if isinstance(thing, faiss.IndexBinary):
        return int(faiss.serialize_index_binary(thing).nbytes)
    if isinstance(thing, faiss.IndexRefine):
        return 0  # its parts are counted where they are held
    if isinstance(thing, MappedRows):
        return thing.copied + _bytes([thing.numbers, thing.order], seen)  # its index looks at files
    if isinstance(thing, faiss.Index):
        return int(faiss.serialize_index(thing).nbytes)
    if isinstance(thing, dict):
        return sum(_bytes(value, seen) for value in thing.values())
    if isinstance(thing, (list, tuple)):
        return sum(_bytes(value, seen) for value in thing)
    if type(thing).__module__.startswith("engine."):
        names = [*getattr(thing, "__dict__", {}), *getattr(type(thing), "__slots__", ())]
        return sum(_bytes(getattr(thing, name, None), seen) for name in names)
    return 0


def _counted(array: Any, seen: set[int]) -> int:
    seen.add(id(array))
    return int(array.nbytes)
