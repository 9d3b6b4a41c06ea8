"""The map of the served version's pictures, drawn once, beside serving: by one quiet thread at a time."""

import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from engine.atlas import Atlas, draw_atlas, keep_atlas, kept_atlas
from engine.catalog import Catalog
from engine.search import Searcher
from engine.types import Modality, Where
from webui.schemas import thumbnail_address

log = logging.getLogger(__name__)

WIDTH, HEIGHT = 1000, 620  # of the drawing
_TILE, _EDGE = 46, 30
_NICE = 15


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture shown on the map. x, y: its upper left corner."""

    item: int
    x: int
    y: int
    thumbnail: str
    label: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A map as the page shows it. tiles: the pictures that have room for a thumbnail.

    items, spots: all of them, each with where it lies; dots: the same as a path. failed: whether it could not be drawn.
    """

    version: int
    of: int
    items: tuple[int, ...]
    spots: tuple[tuple[int, int], ...]
    tiles: tuple[Tile, ...]
    failed: bool = False

    @property
    def dots(self) -> str:
        """Every picture, as a path."""
        return "".join(f"M{x} {y}h0" for x, y in self.spots)


class Maps:
    """Holds the newest map, from the disk where it is kept. A version whose map could not be drawn has an empty one."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._lock = threading.Lock()
        self._drawn: Drawing | None = None
        self._thread: threading.Thread | None = None

    def newest(self) -> Drawing | None:
        """The map of the served version; None while it is being drawn, which begins here."""
        version = self._searcher.version
        with self._lock:
            if self._drawn is not None and self._drawn.version == version.id:
                return self._drawn
            kept = kept_atlas(self._searcher.catalog.home, version.id)
            if kept is not None:
                self._drawn = _drawing(self._searcher.catalog, kept)
                return self._drawn
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._draw, name="map", daemon=True)
                self._thread.start()
        return None

    def _draw(self) -> None:
        version, catalog = self._searcher.version, self._searcher.catalog
        _be_quiet()
        try:
            atlas = draw_atlas(catalog, version)
            keep_atlas(catalog.home, atlas)
            drawn = _drawing(catalog, atlas)
        except Exception:
            log.exception("the map of version %s could not be drawn", version.id)
            drawn = Drawing(version.id, 0, (), (), (), failed=True)
        with self._lock:
            self._drawn = drawn


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
