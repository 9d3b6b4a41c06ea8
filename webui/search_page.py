"""What the search page shows, from its address or from an uploaded picture."""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

import sqlalchemy as sa
from flask import url_for
from PIL.Image import Image

from engine.catalog import Catalog, Item, ItemView, matches
from engine.errors import InvalidInput, NotFound, NotReady
from engine.filters import Filters
from engine.media.pictures import thumbnail
from engine.types import Modality, Query, Term, Where
from webui.paging import search_page
from webui.problems import explain_error
from webui.query_box import parse
from webui.schemas import LARGEST_ID, HitOut, SearchRequest, SearchResponse, TermIn
from webui.services import services

KINDS = (Modality.IMAGE, Modality.TEXT, Modality.VIDEO, Modality.AUDIO)
WORDS_OF_A_PICTURE = 8
_CHIP_PIXELS = 320
_DEEPEST_BROWSE = 1_000_000


@dataclass(slots=True)
class SearchPage:
    """One state of the page. wanted: the JSON that asks the API for what follows; more: the address that does.

    browsed: what is listed when nothing was asked for.
    """

    box: str = ""
    modality: Modality = Modality.IMAGE
    browsed: Modality = Modality.IMAGE
    path: str | None = None
    filtered: bool = False
    like: ItemView | None = None
    picture: str | None = None
    words: list[HitOut] = field(default_factory=list)
    hits: list[HitOut] = field(default_factory=list)
    answer: SearchResponse | None = None
    offset: int = 0
    more: str | None = None
    wanted: str | None = None
    message: str | None = None
    status: int = 200
    first_run: bool = False
    counts: dict[str, int] | None = None

    @property
    def kinds(self) -> list[Modality]:
        """What the page offers to look for: films where there are any; sounds, which no words find, when asked for."""
        films = bool(services().status.counts()["items"].get(Modality.VIDEO))
        shown = {Modality.IMAGE, Modality.TEXT, self.modality} | ({Modality.VIDEO} if films else set())
        return [modality for modality in KINDS if modality in shown]

    def address(self, **changes: str | int | None) -> str:
        """The address of this search, with some of its parts changed."""
        parts: dict[str, str | int | None] = {
            "q": self.box or None,
            "for": None if self.modality is Modality.IMAGE else str(self.modality),
            "path": self.path,
            "like": self.like.item.id if self.like else None,
        }
        return url_for("pages.search", **{**parts, **changes})  # type: ignore[arg-type]  # None leaves a part out


def from_address(arguments: Mapping[str, str]) -> SearchPage:
    """The page that an address means: a search, or without terms the newest pictures."""
    page = SearchPage(arguments.get("q", "").strip(), path=arguments.get("path", "").strip() or None)
    try:
        page.modality = _modality(arguments.get("for") or "image")
        box = parse(page.box)
        page.modality = box.modality or page.modality
        page.offset = _number(arguments, "offset", 0, _DEEPEST_BROWSE) or 0
        like = _number(arguments, "like", 1, LARGEST_ID)
        page.like = services().catalog.item(like) if like is not None else None
        if box.filters.path and page.path:
            raise InvalidInput("the box and the address both hold a path: keep one of them")
        filters = replace(box.filters, path=box.filters.path or page.path)
        page.filtered = filters != Filters()
        _fill(page, box.terms, filters, box.least)
    except (InvalidInput, NotFound, NotReady) as error:
        _fail(page, error)
    return page


def from_upload(data: bytes) -> SearchPage:
    """The page of an uploaded picture: the words that describe it, and pictures like it."""
    page = SearchPage()
    try:
        if not data:
            raise InvalidInput("no picture arrived: choose one first")
        image = services().decode(data)
        page.picture = _data_address(image)
        term = (Term(image=image),)
        words = services().search(Query(term, Modality.TEXT, limit=WORDS_OF_A_PICTURE))
        page.words = [HitOut.of(hit) for hit in words.hits]
        _ask(page, Query(term, limit=2 * services().config.search.limit))
    except (InvalidInput, NotFound, NotReady) as error:
        _fail(page, error)
    return page


def neighbours(view: ItemView, limit: int) -> tuple[list[HitOut], list[HitOut]]:
    """The captions and the other pictures (for a film, moments of others) nearest to an item.

    None of either when it has not been embedded yet.
    """
    item, term = view.item, (Term(item=view.item.id),)
    film = item.modality == Modality.VIDEO
    kind = Modality.VIDEO if film else Modality.IMAGE
    try:
        similar = services().search(Query(term, kind, limit=10 * limit if film else limit + 1)).hits
    except (NotFound, NotReady):
        return [], []
    try:
        words = services().search(Query(term, Modality.TEXT, limit=WORDS_OF_A_PICTURE + 1)).hits
    except NotReady:  # pictures alone have vectors here, or such that captions' cannot be compared with
        words = ()
    others = [hit for hit in similar if hit.id != item.id and not (film and (hit.root, hit.path) == _place(view))]
    words = tuple(hit for hit in words if hit.id != item.id)[:WORDS_OF_A_PICTURE]
    return [HitOut.of(hit) for hit in words], [HitOut.of(hit) for hit in others[:limit]]


def _place(view: ItemView) -> tuple[str, str]:
    return view.root, view.item.path


def _fill(page: SearchPage, words: tuple[Term, ...], filters: Filters, least: float) -> None:
    terms = (*((Term(item=page.like.item.id),) if page.like else ()), *words)
    limit = services().config.search.limit
    if not terms:
        _browse(page, filters.where(), limit)
        return
    _ask(page, Query(terms, page.modality, filters.where(), limit, page.offset, least=least))
    if page.like:
        page.hits = [hit for hit in page.hits if hit.id != page.like.item.id]
    if page.answer and page.answer.next is not None:
        page.more = page.address(offset=page.offset + limit)
        page.wanted = _wanted(terms, page.modality, filters, limit, least)


def _ask(page: SearchPage, query: Query) -> None:
    page.answer = SearchResponse.of(*search_page(services(), query, None))
    page.hits = page.answer.hits


def _wanted(terms: tuple[Term, ...], modality: Modality, filters: Filters, limit: int, least: float) -> str:
    shapes = [TermIn(text=term.text, item=term.item, weight=term.weight) for term in terms]
    request = SearchRequest.model_validate(
        {"terms": shapes, "modality": modality.value, "limit": limit, "min": least, **asdict(filters)}
    )
    return request.model_dump_json(exclude_none=True, exclude_defaults=True)


def _browse(page: SearchPage, where: Where, limit: int) -> None:
    """The newest files, for a page without terms."""
    services().check(where)
    catalog = services().catalog
    if catalog.current_version() is None:
        services().freshness.ensure()
        _ = services().searcher.version  # raises NotReady, which says what to do
    page.counts = services().status.counts()["items"]
    page.browsed = page.modality
    ids = _newest(catalog, page.browsed, where, page.offset, limit + 1)
    if page.modality is Modality.TEXT and not ids:  # a library of pictures alone: the choice waits for words
        page.browsed = Modality.IMAGE
        ids = _newest(catalog, page.browsed, where, page.offset, limit + 1)
    page.hits = [HitOut.of_view(view) for view in catalog.items(ids[:limit])]
    if len(ids) > limit:
        page.more = page.address(offset=page.offset + limit)


def _newest(catalog: Catalog, modality: Modality, where: Where, offset: int, limit: int) -> list[int]:
    """Files that have been read, the newest first; their further pages and moments are on their own pages."""
    query = sa.select(Item.id).where(
        Item.modality == modality, Item.parent_id.is_(None), Item.removed_at.is_(None), Item.content_hash.is_not(None)
    )
    query = query.where(*matches(where, modality)).order_by(Item.id.desc())
    if where.near is not None:
        near = set(catalog.ids_matching(where, modality))
        with catalog.session() as session:
            return [item for item in session.scalars(query) if item in near][offset : offset + limit]
    with catalog.session() as session:
        return list(session.scalars(query.limit(limit).offset(offset)))


def _fail(page: SearchPage, error: Exception) -> None:
    page.status, page.message = explain_error(error)
    page.first_run = isinstance(error, NotReady) and services().catalog.current_version() is None
    page.hits, page.words, page.answer = [], [], None


def _modality(value: str) -> Modality:
    if value not in KINDS:
        raise InvalidInput(f"for={value[:40]} is unknown: use {', '.join(KINDS)}")
    return Modality(value)


def _number(arguments: Mapping[str, str], key: str, least: int, most: int) -> int | None:
    raw = arguments.get(key, "")
    if not raw:
        return None
    if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and least <= int(raw) <= most):
        raise InvalidInput(f"{key}={raw[:40]} is not possible: it is a number from {least} up")
    return int(raw)


def _data_address(image: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(image, _CHIP_PIXELS)).decode()
