"""What is shown when nothing is asked for: the newest files."""

import sqlalchemy as sa

from engine.catalog import Catalog, Item, matches
from engine.types import Modality, Where


def newest(catalog: Catalog, modality: Modality, where: Where, offset: int, limit: int) -> list[int]:
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
