"""What stands in a tile's place until its picture has come: a few colours of the thumbnail, told by the page itself."""

from collections.abc import Sequence
from contextlib import suppress

import sqlalchemy as sa

from engine.catalog import Item
from engine.thumbnails import main_colours, thumbnail_file
from webui.schemas import HitOut
from webui.services import services

_PICTURES = sa.select(Item.id, Item.content_hash, Item.position).where(Item.id.in_(sa.bindparam("ids", expanding=True)))


def colours_of(hits: Sequence[HitOut]) -> dict[int, str]:
    """The colours of what hits show, by the item shown, as `main_colours` tells them; none are made for the purpose."""
    shown = list({hit.item for hit in hits if hit.item and hit.thumbnail})
    with services().catalog.reading() as connection:
        rows = connection.execute(_PICTURES, {"ids": shown}).all() if shown else []
    found: dict[int, str] = {}
    for item_id, content_hash, position in rows:
        with suppress(OSError):  # not made yet: it will be when it is asked for
            found[item_id] = main_colours(thumbnail_file(services().config.home, content_hash, position))
    return found
