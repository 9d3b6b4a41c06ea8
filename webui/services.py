"""What every request handler needs: the searcher, kept fresh, and uploads decoded within the limits."""

import logging
import threading
import time
from dataclasses import dataclass, field

from flask import current_app
from PIL.Image import Image

from engine.catalog import Catalog, ItemView
from engine.config import Config
from engine.media.pictures import decode_upload
from engine.search import Searcher
from engine.status import LiveStatus
from engine.types import Query, Results

REFRESH_S = 0.5  # what is committed can be found within a second: this, and the time that taking it in needs

log = logging.getLogger(__name__)


class Freshness:
    """Polls the catalog before a search, at most once in `REFRESH_S` seconds and by one thread at a time."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._lock = threading.Lock()
        self._last = float("-inf")

    def ensure(self) -> None:
        """Refresh when the last time is long enough ago. A failure is logged and the loaded version serves on."""
        if time.monotonic() - self._last < REFRESH_S or not self._lock.acquire(blocking=False):
            return
        began = time.monotonic()
        try:
            self._searcher.refresh()
        except Exception:
            # What is loaded still answers; when nothing is, the search itself meets the error and reports it.
            log.exception("the library could not be refreshed")
        finally:
            self._last = began
            self._lock.release()

    def expire(self) -> None:
        """Make the next `ensure` refresh whatever the time."""
        self._last = float("-inf")


@dataclass(slots=True)
class Services:
    """One application's parts, kept in `app.extensions["rebus"]`."""

    config: Config
    searcher: Searcher
    freshness: Freshness = field(init=False)
    status: LiveStatus = field(init=False)

    def __post_init__(self) -> None:
        self.freshness = Freshness(self.searcher)
        self.status = LiveStatus(self.catalog)

    @property
    def catalog(self) -> Catalog:
        """The catalog that the searcher reads."""
        return self.searcher.catalog

    def search(self, query: Query) -> Results:
        """Search the newest state of the library. Raises what `Searcher.search` raises."""
        self.freshness.ensure()
        return self.searcher.search(query)

    def item_and_picture(self, item_id: int) -> tuple[ItemView, ItemView]:
        """An item and what to show of it: itself, or what a caption describes. Raises NotFound."""
        view = self.catalog.item(item_id)
        shown = view.picture_id
        return view, view if shown is None or shown == item_id else self.catalog.item(shown)

    def file_of(self, view: ItemView) -> ItemView:
        """The file that an item is a frame or a part of; the item itself when it is a file."""
        return view if view.item.parent_id is None else self.catalog.item(view.item.parent_id)

    def decode(self, data: bytes) -> Image:
        """An uploaded picture, decoded no larger than its use needs. Raises InvalidInput, TooLarge or NotReady."""
        limits = self.config.serve
        self.freshness.ensure()
        pixels = self.searcher.encoder(self.searcher.version).image_input.shorter_side
        image = decode_upload(data, limits.max_upload_bytes, limits.max_upload_pixels, pixels)
        return _reduced(image, 2 * pixels)


def services() -> Services:
    """The parts of the application that handles this request."""
    found = current_app.extensions["rebus"]
    assert isinstance(found, Services)
    return found


def _reduced(image: Image, enough: int) -> Image:
    """Averaged down while its short side stays `enough`, so that several pictures of one query fit in memory."""
    factor = min(image.size) // enough
    return image.reduce(factor) if factor > 1 else image
