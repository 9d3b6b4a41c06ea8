"""What happens to the rows of a file that changed, moved, went or came back: to its item, its frames and captions."""

import time
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Embedding, FactsRow, Item, Keyword
from engine.types import Modality
from indexer.found import FoundFile


def mark_removed(session: Session, ids: Sequence[int]) -> None:
    """Take items out of results, with their frames and captions. Their rows stay, until `rebus gc`."""
    change = sa.update(Item).where(sa.or_(Item.id.in_(ids), Item.parent_id.in_(ids)), Item.removed_at.is_(None))
    session.execute(change.values(removed_at=time.time()))


def forget_content(session: Session, item_id: int) -> None:
    """Drop what was learned from the file's bytes: embeddings of its frames, facts, keywords, its hash."""
    frames = sa.or_(Item.id == item_id, sa.and_(Item.parent_id == item_id, Item.modality != Modality.TEXT))
    own = sa.select(Item.id).where(frames)
    session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(own)))
    for table in (FactsRow, Keyword):
        session.execute(sa.delete(table).where(table.item_id == item_id))
    session.execute(sa.update(Item).where(frames).values(content_hash=None, phash=None))


def bring_back(session: Session, item_id: int, root_id: int, file: FoundFile) -> list[int]:
    """The file is there again under this path: its item returns with its id, embedding, frames and captions.

    Its captions from sidecars are compared again, since its stamp is cleared. Returns the ids that came back.
    """
    left = session.scalar(sa.select(Item.removed_at).where(Item.id == item_id))
    place = {"root_id": root_id, "path": file.path, "folder": file.path.rpartition("/")[0]}
    session.execute(sa.update(Item).where(Item.parent_id == item_id).values(**place))
    values = {**place, "mtime_ns": file.mtime_ns, "removed_at": None, "stamp": ""}
    session.execute(sa.update(Item).where(Item.id == item_id).values(**values))
    if left is None:
        return [item_id]
    with_it = sa.select(Item.id).where(Item.parent_id == item_id, Item.removed_at == left)  # not what left before
    back = [item_id, *session.scalars(with_it)]
    session.execute(sa.update(Item).where(Item.id.in_(back)).values(removed_at=None))
    renew_embeddings(session, back)
    return back


def renew_embeddings(session: Session, item_ids: Sequence[int]) -> None:
    """Give items' embeddings new ids, past the published watermark, so that serving takes them in again."""
    rows = session.scalars(sa.select(Embedding).where(Embedding.item_id.in_(item_ids)).order_by(Embedding.id)).all()
    places = [{"item_id": r.item_id, "encoder_id": r.encoder_id, "shard": r.shard, "row": r.row} for r in rows]
    session.execute(sa.delete(Embedding).where(Embedding.item_id.in_(item_ids)))
    if places:
        session.execute(sa.insert(Embedding), places)
