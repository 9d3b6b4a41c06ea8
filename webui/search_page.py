"""What the search page shows, from its address and from pictures that the person gives."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import url_for
from PIL.Image import Image
from werkzeug.datastructures import MultiDict

from engine.answers import looked_up
from engine.confidence import UNLIKELY
from engine.errors import InvalidInput, NotFound, NotReady
from engine.facets import kind_counts
from engine.filters import Filters
from engine.likeness import Likeness
from engine.media.pictures import thumbnail
from engine.shown import ItemView
from engine.types import Modality, Mode, Query, Term, Where
from webui.browsing import newest
from webui.chips import ItemChip, OwnChip, item_chips, likes_in, likes_out, own_weights
from webui.films import Film, films
from webui.paging import Cursor, search_page
from webui.problems import explain_error
from webui.query_box import MAX_CHARACTERS, check_length, narrowed, parse
from webui.schemas import MAX_TERMS, HitOut, SearchResponse
from webui.services import services

KINDS = (Modality.IMAGE, Modality.TEXT, Modality.VIDEO, Modality.AUDIO)
WORDS_OF_A_PICTURE = 8
_CHIP_PIXELS = 128
_DEEPEST_BROWSE = 1_000_000
_MOST_PAGES = 20  # at once, for who goes back to where they were
_MOST_AT_ONCE = 1000  # hits, however large a page is

Fields = MultiDict[str, str]


@dataclass(slots=True)
class SearchPage:
    """One state of the page. more: the address of what follows; following: its cursor. pages: how many come as one.

    browsed: what is listed when nothing was asked for. terms, filters: what was asked, least: how sure
    hits must be. likes, own: the chips. mode: what words are compared with, None as the settings say. explain: say of
    each hit why it is there.
    """

    box: str = ""
    modality: Modality = Modality.IMAGE
    browsed: Modality = Modality.IMAGE
    path: str | None = None
    filters: Filters = Filters()
    likes: list[ItemChip] = field(default_factory=list)
    own: list[OwnChip] = field(default_factory=list)
    terms: tuple[Term, ...] = ()
    least: float = 0.0
    mode: Mode | None = None
    explain: bool = False
    words: list[HitOut] = field(default_factory=list)
    hits: list[HitOut] = field(default_factory=list)
    answer: SearchResponse | None = None
    offset: int = 0
    pages: int = 1
    cursor: str | None = None
    following: str | None = None
    more: str | None = None
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

    @property
    def chips(self) -> list[ItemChip | OwnChip]:
        """All of them, own pictures first."""
        return [*self.own, *self.likes]

    @property
    def asked_mode(self) -> Mode | None:
        """The mode that this search has: pictures and items are asked by vectors, whatever was chosen for words."""
        return self.mode if looked_up(self.terms) else None

    @property
    def modes(self) -> list[tuple[Mode, str]]:
        """What words may be compared with, each with the address that chooses it; none for a search of more."""
        usual = services().config.search.mode
        kinds = Mode if looked_up(self.terms) else ()
        return [(mode, self.address(mode=None if mode == usual else str(mode))) for mode in kinds]

    @property
    def filtered(self) -> bool:
        """Whether anything is left out of the search."""
        return self.filters != Filters()

    @property
    def films(self) -> list[Film]:
        """The hits by film, where moments were searched for."""
        return films(services().catalog, self.hits)

    @property
    def surer(self) -> str:
        """The address of this search without what is unlikely."""
        return self.address(q=narrowed(self.box, "min", f"{UNLIKELY:g}"))

    def parts(self, likes: Sequence[Likeness] | None = None, **changes: Any) -> dict[str, Any]:
        """What the address of this search consists of, with some of it changed. Own pictures stand in no address."""
        own = {
            "q": self.box or None,
            "for": None if self.modality is Modality.IMAGE else str(self.modality),
            "path": self.path,
            "mode": None if self.mode is None else str(self.mode),
            "explain": "1" if self.explain else None,
            **likes_out([chip.likeness for chip in self.likes] if likes is None else likes),
        }
        return {key: value for key, value in {**own, **changes}.items() if value}

    @property
    def asked(self) -> str:
        """The address of this search, as the part behind the question mark."""
        return urlencode(self.parts(), doseq=True)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """What a form of another search takes along of this one, beside words and kind."""
        return [(name, value) for name, value in parse_qsl(self.asked) if name not in ("q", "for")]

    def address(self, **changes: Any) -> str:
        """The address of this search, with some of its parts changed."""
        return url_for("pages.search", **self.parts(**changes))

    def without(self, chip: ItemChip) -> str:
        """The address of this search without one of its items."""
        return self.address(likes=[one.likeness for one in self.likes if one is not chip])

    def weighted(self, chip: ItemChip, weight: float) -> str:
        """The address of this search with another weight for one of its items."""
        changed = replace(chip.likeness, weight=weight)
        return self.address(likes=[changed if one is chip else one.likeness for one in self.likes])


def asked_for(fields: Fields, uploads: Sequence[bytes] = (), weights: Sequence[str] = ()) -> SearchPage:
    """What an address asks for, with own pictures beside it, without asking. Raises InvalidInput or NotFound."""
    page = SearchPage()
    _read(page, fields)
    _take(page, uploads, weights)
    return page


def page_of(fields: Fields, uploads: Sequence[bytes] = ()) -> SearchPage:
    """The page that an address means, with own pictures beside it: a search, or without terms the newest pictures."""
    page = SearchPage()
    try:
        _read(page, fields)
        _take(page, uploads, fields.getlist("weight"))
        _fill(page, page.filters.where())
    except (InvalidInput, NotFound, NotReady) as error:
        page.status, page.message = explain_error(error)
        page.first_run = isinstance(error, NotReady) and services().catalog.current_version() is None
        page.hits, page.words, page.answer = [], [], None
    return page


def _read(page: SearchPage, fields: Fields) -> None:
    words, path = fields.get("q", "").strip(), fields.get("path", "").strip()
    page.box = words[:MAX_CHARACTERS]  # what is longer is refused, and not said again in each part of the page
    check_length("path", path)
    page.path = path or None
    page.modality, page.mode = _modality(fields.get("for") or "image"), _mode(fields.get("mode"))
    box = parse(words)
    page.modality = box.modality or page.modality
    page.likes = item_chips(likes_in(fields.getlist("like"), fields.getlist("unlike")))
    if box.filters.path and page.path:
        raise InvalidInput("the box and the address both hold a path: keep one of them")
    page.filters = replace(box.filters, path=box.filters.path or page.path)
    page.least, page.explain = box.least, bool(fields.get("explain"))
    page.terms = (*(chip.likeness.term for chip in page.likes), *box.terms)
    if len(page.terms) > MAX_TERMS:
        raise InvalidInput(f"{len(page.terms)} parts are too many for one search: give at most {MAX_TERMS}")
    page.cursor = fields.get("cursor") or None
    page.offset = Cursor.unpacked(page.cursor).offset if page.cursor else _number(fields, "offset", 0, _DEEPEST_BROWSE)
    page.pages = _number(fields, "pages", 1, _MOST_PAGES)


def _take(page: SearchPage, uploads: Sequence[bytes], weights: Sequence[str]) -> None:
    """Add own pictures."""
    given = list(zip(uploads, own_weights(weights, len(uploads)), strict=True))
    images = [(services().decode(data), weight) for data, weight in given]
    page.own = [OwnChip(n, weight, _data_address(image)) for n, (image, weight) in enumerate(images)]
    page.terms = (*(Term(image=image, weight=weight) for image, weight in images), *page.terms)


def neighbours(view: ItemView, limit: int) -> tuple[list[HitOut], list[HitOut]]:
    """The captions and the other pictures (for a film, moments of others) nearest to an item.

    None of either when it has not been embedded yet.
    """
    item, term = view.item, (Term(item=view.item.id),)
    film = item.modality == Modality.VIDEO
    kind = Modality.VIDEO if film else Modality.IMAGE
    try:
        similar = services().search(Query(term, kind, limit=10 * limit if film else limit, without=(item.id,))).hits
    except (NotFound, NotReady):
        return [], []
    others = [hit for hit in similar if not (film and (hit.root, hit.path) == _place(view))]
    return words_of(term, without=(item.id,)), [HitOut.of(hit) for hit in others[:limit]]


def words_of(terms: tuple[Term, ...], without: tuple[int, ...] = ()) -> list[HitOut]:
    """The captions nearest to a query; none where pictures alone have vectors, or such that captions' differ from."""
    try:
        query = Query(terms, Modality.TEXT, limit=WORDS_OF_A_PICTURE, without=without)
        return [HitOut.of(hit) for hit in services().search(query).hits]
    except NotReady:
        return []


def _place(view: ItemView) -> tuple[str, str]:
    return view.root, view.item.path


def _fill(page: SearchPage, where: Where) -> None:
    one = services().config.search.limit
    limit = max(one, min(page.pages * one, _MOST_AT_ONCE))
    if not page.terms:
        _browse(page, where, limit)
        return
    query = Query(
        page.terms, page.modality, where, limit, 0 if page.cursor else page.offset,
        least=page.least, mode=page.asked_mode, explain=page.explain,
    )  # fmt: skip
    page.answer = SearchResponse.of(*search_page(services(), query, page.cursor), page.explain)
    liked = {term.item for term in page.terms if term.item is not None and term.weight > 0}  # chips, or in the box
    page.hits = [hit for hit in page.answer.hits if hit.id not in liked]
    page.following = page.answer.next
    if page.following is not None:
        page.more = page.address(cursor=page.following)
    if page.own and page.modality is not Modality.TEXT and not page.offset:
        page.words = words_of(page.terms)


def _browse(page: SearchPage, where: Where, limit: int) -> None:
    """The newest files, for a page without terms."""
    services().check(where)
    catalog = services().catalog
    if catalog.current_version() is None:
        services().freshness.ensure()
        _ = services().searcher.version  # raises NotReady, which says what to do
    page.counts = services().status.counts()["items"] if where == Where() else kind_counts(catalog, where)
    page.browsed = page.modality
    ids = newest(catalog, page.browsed, where, page.offset, limit + 1)
    if page.modality is Modality.TEXT and not ids:  # a library of pictures alone: the choice waits for words
        page.browsed = Modality.IMAGE
        ids = newest(catalog, page.browsed, where, page.offset, limit + 1)
    page.hits = [HitOut.of_view(view) for view in catalog.items(ids[:limit])]
    if len(ids) > limit:
        page.more = page.address(offset=page.offset + limit)


def _modality(value: str) -> Modality:
    if value not in KINDS:
        raise InvalidInput(f"for={value[:40]} is unknown: use {', '.join(KINDS)}")
    return Modality(value)


def _mode(value: str | None) -> Mode | None:
    if value and value not in list(Mode):
        raise InvalidInput(f"mode={value[:40]} is unknown: use {', '.join(Mode)}")
    return Mode(value) if value else None


def _number(fields: Fields, name: str, least: int, most: int) -> int:
    raw = fields.get(name) or str(least)
    if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and least <= int(raw) <= most):
        raise InvalidInput(f"{name}={raw[:40]} is not possible: it is a number from {least} to {most:,}")
    return int(raw)


def _data_address(image: Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(image, _CHIP_PIXELS)).decode()
