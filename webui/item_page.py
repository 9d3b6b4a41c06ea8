"""What an item's page shows: a picture, a page, a film at its moment, a sound or a document's words."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import sqlalchemy as sa
from flask import url_for

from engine.catalog import Caption, Item
from engine.errors import NotFound
from engine.media import modality_of
from engine.media.files import file_inside
from engine.regions import has_large
from engine.shown import ItemView, ShownItem
from engine.types import Modality
from engine.words import PAGED, place_in
from webui.files import MIME_TYPES
from webui.originals import is_kept_back
from webui.schemas import FactsOut, HitOut, thumbnail_address
from webui.search_page import neighbours
from webui.services import services

SIMILAR_STRIP = 12
_FRAMES_SHOWN, _CAPTIONS_SHOWN, _PASSAGES_SHOWN = 120, 100, 500
_OF_THE_FIRST_PAGE = ("pdf", "ocr")  # words that stand on the page which the file's item is
_DRAWN_BY_BROWSERS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".avif")


@dataclass(frozen=True, slots=True)
class ItemPage:
    """One item as shown. file: the row of its file; frames: the others of it; passages: a document's words.
    known: what the file says of itself.

    original: the address of the file, at the item's place; None where it is not there, or kept back because it may tell
    where it was made (kept_back); opens: whether a browser shows or plays it, or saves it.
    picture: the address of what stands for it.
    """

    view: ItemView
    file: ShownItem
    name: str
    folder: str | None
    place: str | None
    frames_are: str
    original: str | None
    kept_back: bool
    opens: bool
    picture: str | None
    captions: list[Caption]
    passages: list[Caption]
    frames: list[HitOut]
    known: FactsOut
    words: list[HitOut]
    similar: list[HitOut]

    @property
    def item(self) -> ShownItem:
        """Its row."""
        return self.view.item


def item_page(item_id: int) -> ItemPage:
    """The page of an item; of what it describes when it is a caption. Raises NotFound."""
    _, view = services().item_and_picture(item_id)
    item, path = view.item, PurePosixPath(view.item.path)
    file_id = item.parent_id or item.id
    there = _path(view)
    kept_back = (
        there is not None and not services().shows_places and is_kept_back(there, services().config.media.max_bytes)
    )
    original = None if there is None or kept_back else _original(item, file_id)
    whole = item.modality == Modality.IMAGE and path.suffix.lower() in _DRAWN_BY_BROWSERS and not item.position
    drawn = _drawn(view)
    words, similar = neighbours(view, SIMILAR_STRIP)
    return ItemPage(
        view=view,
        file=services().file_of(view).item,
        name=path.name,
        folder=None if path.parent == PurePosixPath() else path.parent.as_posix(),
        place=place_in(item.path, item.position, Modality(item.modality)),
        frames_are=_frames_are(item),
        original=original,
        kept_back=kept_back,
        opens=path.suffix.lower() in MIME_TYPES,
        picture=original if whole and original else drawn,
        captions=_captions(item, file_id),
        passages=_passages(file_id) if item.modality == Modality.TEXT else [],
        frames=_frames(item, file_id),
        known=services().facts_of(file_id),
        words=words,
        similar=similar,
    )


def _drawn(view: ItemView) -> str | None:
    """The address of what is drawn of an item whose original browsers cannot show."""
    if view.thumb and has_large(view.item.path) and not view.item.position:
        return url_for("files.large", item_id=view.item.id, v=view.thumb)
    return thumbnail_address(view.item.id, view.thumb) if view.thumb else None


def _path(view: ItemView) -> Path | None:
    """Where the item's file lies; None when it is not there, as when its drive is away or none was imported."""
    try:
        return file_inside(Path(view.root), services().file_of(view).file)
    except NotFound:
        return None


def _original(item: ShownItem, file_id: int) -> str | None:
    if modality_of(item.path) is None:
        return None
    film = item.modality == Modality.VIDEO and item.position is not None
    return url_for("files.media", item_id=file_id, _anchor=f"t={(item.position or 0) / 1000:g}" if film else None)


def _frames_are(item: ShownItem) -> str:
    """What the frames of a file are called."""
    if item.modality == Modality.VIDEO:
        return "Moments"
    return "Pages" if PurePosixPath(item.path).suffix.lower() in PAGED else "Frames"


def _captions(item: ShownItem, file_id: int) -> list[Caption]:
    """What describes the item, and what describes its whole file. A document's own words are its passages."""
    of_file = sa.and_(Caption.owner_id == file_id, Item.position.is_(None), Caption.source.not_in(_OF_THE_FIRST_PAGE))
    query = sa.select(Caption).join(Item, Item.id == Caption.id).order_by(Caption.id).limit(_CAPTIONS_SHOWN)
    query = query.where(Item.removed_at.is_(None), Caption.owner_id != Caption.id)
    with services().catalog.session() as session:
        return list(session.scalars(query.where(sa.or_(Caption.owner_id == item.id, of_file))))


def _passages(file_id: int) -> list[Caption]:
    query = sa.select(Caption).join(Item, Item.id == Caption.id).order_by(Item.id != file_id, Item.position, Item.id)
    query = query.where(sa.or_(Item.id == file_id, Item.parent_id == file_id), Item.removed_at.is_(None))
    with services().catalog.session() as session:
        return list(session.scalars(query.where(Caption.owner_id == Caption.id).limit(_PASSAGES_SHOWN)))


def _frames(item: ShownItem, file_id: int) -> list[HitOut]:
    """The other frames of the item's file, in their order."""
    catalog = services().catalog
    query = sa.select(Item.id).where(sa.or_(Item.id == file_id, Item.parent_id == file_id), Item.removed_at.is_(None))
    query = query.where(Item.modality == item.modality, Item.modality != Modality.TEXT, Item.id != item.id)
    with catalog.session() as session:
        ids = list(session.scalars(query.order_by(Item.id != file_id, Item.position, Item.id).limit(_FRAMES_SHOWN)))
    return [HitOut.of_view(view) for view in catalog.items(ids)]
