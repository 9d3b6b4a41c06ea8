"""Make the caption items of pictures what their sidecars say."""

import time
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Caption, Embedding, Item
from engine.types import Modality
from indexer.sidecars import CaptionReader, CaptionText


def sync_captions(session: Session, pictures: Sequence[Item], reader: CaptionReader) -> None:
    """Add, revive and remove caption items. A caption that comes back keeps its id."""
    have = _captions_of(session, [picture.id for picture in pictures])
    added: list[tuple[Item, CaptionText]] = []
    for picture in pictures:
        said = reader.read(picture.path)
        there = have.get(picture.id, {})
        for text in said.texts:
            row = there.pop(text, None)
            if row is None:
                added.append((_text_item(picture, text), text))
            elif row.removed_at is not None:
                row.removed_at = None
                renew_embeddings(session, [row.id])
        for row in there.values():
            row.removed_at = row.removed_at or time.time()
        picture.split = said.split
        picture.stamp = reader.stamp(picture.path) if reader.could_read(picture.path) else ""
    session.add_all(item for item, _ in added)
    session.flush()
    session.add_all(
        Caption(id=item.id, owner_id=item.parent_id, text=text.text, lang=text.lang, source=text.source)
        for item, text in added
    )


def renew_embeddings(session: Session, item_ids: Sequence[int]) -> None:
    """Give items' embeddings new ids, past the published watermark, so that serving takes them in again."""
    rows = session.scalars(sa.select(Embedding).where(Embedding.item_id.in_(item_ids))).all()
    places = [{"item_id": r.item_id, "encoder_id": r.encoder_id, "shard": r.shard, "row": r.row} for r in rows]
    session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(item_ids)))
    session.add_all(Embedding(**place) for place in places)


def _captions_of(session: Session, owners: Sequence[int]) -> dict[int, dict[CaptionText, Item]]:
    query = sa.select(Caption, Item).join(Item, Item.id == Caption.id).where(Caption.owner_id.in_(owners))
    found: dict[int, dict[CaptionText, Item]] = {}
    for caption, item in session.execute(query):
        key = CaptionText(caption.text, caption.lang, caption.source)
        found.setdefault(caption.owner_id, {})[key] = item
    return found


def _text_item(picture: Item, caption: CaptionText) -> Item:
    item = Item(root_id=picture.root_id, parent_id=picture.id, modality=Modality.TEXT, path=picture.path, stamp="")
    item.size, item.mtime_ns = len(caption.text.encode()), picture.mtime_ns
    return item
