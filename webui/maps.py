"""The map of the served version's pictures, drawn once, beside serving: by one quiet thread at a time."""

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from engine.atlas import Atlas, draw_atlas, keep_atlas, kept_atlas
from engine.catalog import Catalog
from engine.search import Searcher
from engine.types import Modality, Where
from webui.schemas import thumbnail_address

log = logging.getLogger(__name__)
T = TypeVar("T")

WIDTH, HEIGHT = 1000, 620  # of the drawing
_TILE, _EDGE = 46, 30
_LINKED, _SKETCHED = 24, 300  # tiles and dots that stand in the page itself; the script adds the others
_TILED = 0x8000  # in x, of a dot that has room for its picture
_DOT = np.dtype([("gap", "<u8"), ("x", "<u2"), ("y", "<u2")])
_NICE = 15


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture shown on the map. x, y: its upper left corner."""

    item: int
    x: int
    y: int
    thumbnail: str
    label: str


@dataclass(frozen=True)
class Drawing:
    """A map as the page shows it. tiles: the pictures that have room for a thumbnail.

    items, spots: all of them, ascending, each with where it lies. failed: whether it could not be drawn.
    """

    version: int
    of: int
    items: tuple[int, ...]
    spots: tuple[tuple[int, int], ...]
    tiles: tuple[Tile, ...]
    failed: bool = False

    @property
    def linked(self) -> tuple[Tile, ...]:
        """The tiles that are links without a script."""
        return tuple(_spaced(self.tiles, _LINKED))

    @property
    def sketch(self) -> str:
        """A path of as many dots as the page itself holds."""
        return "".join(f"M{x} {y}h0" for x, y in _spaced(self.spots, _SKETCHED))

    @cached_property
    def packed(self) -> bytes:
        """All pictures for the script: of each the step from the id before, x and y, all first bytes first.

        Bytes of one significance lie together, most of them alike: compressed, 5,000 take 20 kB, and 24 as JSON.
        """
        dots = np.empty(len(self.items), _DOT)
        dots["gap"] = np.diff(np.array(self.items, np.int64), prepend=0)
        dots["x"], dots["y"] = np.array(self.spots, np.uint16).reshape(-1, 2).T
        dots["x"][np.isin(self.items, [tile.item for tile in self.tiles])] |= _TILED
        return dots.view(np.uint8).reshape(-1, _DOT.itemsize).T.tobytes()


class Maps:
    """Holds the newest map, from the disk where it is kept. A version whose map could not be drawn has an empty one."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._lock = threading.Lock()
        self._drawn: Drawing | None = None
        self._atlas: Atlas | None = None  # what was drawn
        self._thread: threading.Thread | None = None

    def newest(self) -> Drawing | None:
        """The map of the served version, whose drawing begins here.

        While it is being drawn, the map before it without the pictures that are gone; None where there is none.
        """
        version = self._searcher.version
        with self._lock:
            if self._drawn is not None and self._drawn.version == version.id:
                return self._drawn
            kept = kept_atlas(self._searcher.catalog.home, version.id)
            if kept is not None:
                self._drawn, self._atlas = _drawing(self._searcher.catalog, kept), kept
                return self._drawn
            if self._thread is None or not self._thread.is_alive():
                self._drawn = _drawing(self._searcher.catalog, self._atlas) if self._atlas is not None else None
                self._thread = threading.Thread(target=self._draw, name="map", daemon=True)
                self._thread.start()
            return self._drawn

    def _draw(self) -> None:
        version, catalog = self._searcher.version, self._searcher.catalog
        _be_quiet()
        atlas = None
        try:
            atlas = draw_atlas(catalog, version)
            keep_atlas(catalog.home, atlas)
            drawn = _drawing(catalog, atlas)
        except Exception:
            log.exception("the map of version %s could not be drawn", version.id)
            drawn = Drawing(version.id, 0, (), (), (), failed=True)
        with self._lock:
            self._drawn, self._atlas = drawn, atlas


def _be_quiet() -> None:
    """Let this thread have what searches leave of the processor, where a thread can say so: on Linux."""
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _drawing(catalog: Catalog, atlas: Atlas) -> Drawing:
    inner = (WIDTH - 2 * _EDGE, HEIGHT - 2 * _EDGE)
    there = np.isin(atlas.ids, catalog.ids_matching(Where(), Modality.IMAGE))
    items = tuple(atlas.ids[there].tolist())
    spots = tuple((round(_EDGE + x * inner[0]), round(_EDGE + y * inner[1])) for x, y in atlas.places[there].tolist())
    apart = _apart(spots)
    views = {view.item.id: view for view in catalog.items([items[at] for at in apart])}
    tiles = []
    for at in apart:
        view = views.get(items[at])
        if view is not None and view.thumb and view.picture_id:
            x, y = spots[at]
            label, address = view.caption or view.item.path, thumbnail_address(view.picture_id, view.thumb)
            tiles.append(Tile(view.item.id, x - _TILE // 2, y - _TILE // 2, address, label))
    return Drawing(atlas.version, atlas.of, items, spots, tuple(tiles))


def _spaced(every: Sequence[T], most: int) -> Sequence[T]:
    """At most so many of them, evenly spaced."""
    return every[:: -(-len(every) // most)] if every else every


def _apart(spots: Sequence[tuple[int, int]]) -> list[int]:
    """Places in the list of spots whose thumbnails would not overlap."""
    taken: dict[tuple[int, int], list[tuple[int, int]]] = {}
    chosen = []
    for at, (x, y) in enumerate(spots):
        cell = x // _TILE, y // _TILE
        near = [spot for i in (-1, 0, 1) for j in (-1, 0, 1) for spot in taken.get((cell[0] + i, cell[1] + j), ())]
        if all(abs(x - a) > _TILE + 1 or abs(y - b) > _TILE + 1 for a, b in near):
            taken.setdefault(cell, []).append((x, y))
            chosen.append(at)
    return chosen
