"""What every request handler needs: the searcher, kept fresh, and uploads decoded within the limits."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from flask import current_app
from PIL.Image import Image

from engine.catalog import Catalog
from engine.config import Config, ServeSettings
from engine.decoding.uploads import UploadDecoder, too_many_pictures
from engine.errors import EncoderUnavailable, InvalidInput, NothingWhole, RebusError
from engine.facets import known_facets
from engine.search import Searcher
from engine.shown import ItemView
from engine.status import LiveStatus, Remembered
from engine.types import Query, Results, Term, Where
from webui.fetching import Fetcher
from webui.lanes import waited_too_long
from webui.maps import Maps
from webui.measured import Measured
from webui.schemas import FactsOut

_FACETS_S = 30.0  # which facets there are is looked at again
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
        self._last = time.monotonic()  # before it looks: who expires it meanwhile changed what it may have missed
        try:
            with suppress(NothingWhole):  # the log has what was passed over
                self._searcher.refresh()
        except Exception:
            # What is loaded still answers; when nothing is, the search itself meets the error and reports it.
            log.exception("the library could not be refreshed")
        finally:
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
    known_facets: Remembered[frozenset[str]] = field(init=False)
    maps: Maps = field(init=False)
    uploads: UploadDecoder = field(init=False)
    measured: Measured = field(default_factory=Measured)
    warming: bool = False
    shows_places: bool = True

    def __post_init__(self) -> None:
        self.freshness = Freshness(self.searcher)
        self.status = LiveStatus(self.catalog)
        self.maps = Maps(self.searcher)
        given = self.config.serve
        limits = replace(
            self.config.media, max_bytes=given.max_upload_bytes, max_pixels=given.max_upload_pixels,
            max_seconds=given.max_upload_seconds,
        )  # fmt: skip
        self.uploads = UploadDecoder(limits, max(2, given.threads // 4), room=picture_threads(given))
        self.known_facets = Remembered(lambda: known_facets(self.catalog), _FACETS_S)

    @property
    def catalog(self) -> Catalog:
        """The catalog that the searcher reads."""
        return self.searcher.catalog

    def search(self, query: Query, page: int | None = None) -> Results:
        """Search the newest state of the library, as `Searcher.search` does. Raises what that raises."""
        self.check(query.where)
        self.freshness.ensure()
        results = self.searcher.search(query, page)
        self.measured.search(results.took_ms)
        return results

    def check(self, where: Where) -> None:
        """Raise InvalidInput for filters by place where places are not shown: asking on and on would find one."""
        if not self.shows_places and (where.place is not None or where.near is not None):
            raise InvalidInput("this server does not tell places: leave place and near out (serve.show_places)")

    def fetch(self, url: str) -> bytes:
        """A picture by its address. Raises InvalidInput where that is not allowed, or for what cannot be had."""
        limits = self.config.serve
        if not limits.image_url:
            raise InvalidInput("image_url: this server fetches no addresses (serve.image_url): send the picture itself")
        return Fetcher(limits.max_upload_bytes, limits.image_url_hosts).fetch(url)

    def facts_of(self, item_id: int) -> FactsOut:
        """What an item's file says of itself, as far as it is shown."""
        facts = FactsOut.of(*self.catalog.facts_of(item_id))
        return facts if self.shows_places else facts.placeless()

    def encode_ahead(self, texts: Sequence[str]) -> None:
        """Encode words together, that will be asked for one by one. What cannot be is told when it is asked for."""
        version = self.searcher.version
        if texts and version.head.texts is None and version.head.reads_words:
            with suppress(EncoderUnavailable):
                self.searcher.encoder(version).encode_text(texts)

    def warm(self) -> threading.Thread:
        """Load the version and its encoder in the background, and encode once: the first query waits for less."""
        self.warming = True
        thread = threading.Thread(target=self._warm, name="warm", daemon=True)
        thread.start()
        return thread

    def _warm(self) -> None:
        try:
            self.uploads.start()
            self.search(Query((Term(text="warm"),)))
        except RebusError as error:  # whoever asks will meet it too, and be told
            log.info("nothing could be loaded ahead: %s", error)
        except Exception:
            log.exception("the encoder could not be loaded ahead")
        finally:
            self.warming = False

    def item_and_picture(self, item_id: int) -> tuple[ItemView, ItemView]:
        """An item and what to show of it: itself, or what a caption describes. Raises NotFound."""
        view = self.catalog.item(item_id)
        shown = view.picture_id
        return view, view if shown is None or shown == item_id else self.catalog.item(shown)

    def file_of(self, view: ItemView) -> ItemView:
        """The file that an item is a frame or a part of; the item itself when it is a file."""
        return view if view.item.parent_id is None else self.catalog.item(view.item.parent_id)

    def decode(self, data: bytes) -> Image:
        """An uploaded picture, decoded no larger than its use needs. Raises InvalidInput, TooLarge or Busy."""
        if waited_too_long.get():
            raise too_many_pictures()
        self.freshness.ensure()
        return self.uploads.decode(data, self.searcher.encoder(self.searcher.version).image_input.shorter_side)


def picture_threads(settings: ServeSettings) -> int:
    """How many threads may be with pictures that people send: the others are for everything else."""
    return max(1, settings.threads // 2)


def services() -> Services:
    """The parts of the application that handles this request."""
    found = current_app.extensions["rebus"]
    assert isinstance(found, Services)
    return found
