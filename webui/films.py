"""Moments of films as people look at them: grouped by film, with where in the film they lie."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import sqlalchemy as sa

from engine.catalog import Catalog, FactsRow, Item
from webui.schemas import HitOut


@dataclass(slots=True)
class Film:
    """A film with the moments of it that were found, best first. id: of its file; duration_ms: where it is known."""

    id: int
    path: str
    duration_ms: int | None
    moments: list[HitOut] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(self.path).name

    @property
    def marks(self) -> list[float]:
        """Where the moments lie, in per mille of the film's length."""
        places = [moment.position or 0 for moment in self.moments]
        length = max(self.duration_ms or 0, *places, 1)
        return [round(1000 * place / length, 1) for place in places]


def films(catalog: Catalog, hits: Sequence[HitOut]) -> list[Film]:
    """The films of these moments, in the order of their best ones."""
    file = sa.func.coalesce(Item.parent_id, Item.id)
    query = sa.select(Item.id, file, FactsRow.duration_ms).outerjoin(FactsRow, FactsRow.item_id == file)
    with catalog.session() as session:
        rows = session.execute(query.where(Item.id.in_([hit.id for hit in hits])))
        known = {moment: (film, length) for moment, film, length in rows}
    found: dict[int, Film] = {}
    for hit in hits:
        film, length = known.get(hit.id, (hit.id, None))
        found.setdefault(film, Film(film, hit.path, length)).moments.append(hit)
    return list(found.values())
