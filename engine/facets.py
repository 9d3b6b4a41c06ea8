"""What values items have, and how many have each: folders, years and cameras, under any filter."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.catalog import Caption, Catalog, FactsRow, Item, Root, matches
from engine.filters import is_near
from engine.types import Modality, Where

_DAY_S = 86_400
_ERA = 1_000_000  # days before 1970 that a cast, which cuts toward zero, still counts downward (SQLite may lack floor)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Facets:
    """Counts of items by value. modalities: of all that the filters keep, whatever kind was asked for.

    roots: by the names of the library's folders; those of one name count together.
    """

    total: int
    modalities: dict[str, int]
    roots: dict[str, int]
    folders: dict[str, int]
    years: dict[str, int]
    cameras: dict[str, int]


def facets(catalog: Catalog, where: Where, modality: Modality) -> Facets:
    """The facets of the present items of a modality that a filter keeps, the most frequent first."""
    days_since = FactsRow.taken_at / _DAY_S + _ERA
    whole: Any = sa.func.floor if catalog.engine.dialect.name != "sqlite" else lambda x: sa.cast(x, sa.Integer)
    day = whole(days_since) - _ERA
    folders, days, cameras = (_counted(catalog, where, modality, of) for of in (Item.folder, day, FactsRow.camera))
    years: Counter[str] = Counter()
    for value, count in days.items():
        years.update({year: count for year in _year(value)})
    names, roots = _root_names(catalog), Counter[str]()
    for root, count in _counted(catalog, where, modality, Item.root_id).items():
        roots[names[root]] += count
    return Facets(
        sum(folders.values()),
        kind_counts(catalog, where),
        _named(roots),
        _named(folders),
        dict(years.most_common()),
        _named(cameras),
    )


def kind_counts(catalog: Catalog, where: Where) -> dict[str, int]:
    """The present items that a filter keeps, by modality."""
    found = {str(kind): _counted(catalog, where, kind, Item.modality).total() for kind in Modality}
    return {kind: count for kind, count in found.items() if count}


def known_facets(catalog: Catalog) -> frozenset[str]:
    """Which filters mean anything in this library: of path, taken and camera those that any item has a value for.

    And root, where items lie in folders of several names.
    """
    having: dict[str, Any] = {
        "path": sa.select(Item.id).where(Item.folder != "", Item.removed_at.is_(None)),
        "taken": sa.select(FactsRow.item_id).where(FactsRow.taken_at.is_not(None)),
        "camera": sa.select(FactsRow.item_id).where(FactsRow.camera.is_not(None)),
    }
    held = sa.exists().where(Item.root_id == Root.id, Item.removed_at.is_(None))
    names = _root_names(catalog)
    with catalog.session() as session:
        found = {key for key, query in having.items() if session.scalar(query.limit(1)) is not None}
        several = len({names[root] for root in session.scalars(sa.select(Root.id).where(held))}) > 1
    return frozenset(found | ({"root"} if several else set()))


def _root_names(catalog: Catalog) -> dict[int, str]:
    """What a filter calls the library's folders: by their names alone, since paths tell of the machine."""
    with catalog.session() as session:
        return {number: Path(path).name or path for number, path in session.execute(sa.select(Root.id, Root.path))}


def sizes(catalog: Catalog) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of the present files by modality, and captions by language."""
    files = sa.select(Item.modality, sa.func.sum(Item.size)).where(Item.parent_id.is_(None), Item.removed_at.is_(None))
    words = sa.select(Caption.lang, sa.func.count()).join(Item, Item.id == Caption.id).where(Item.removed_at.is_(None))
    with catalog.session() as session:
        taken = {modality: int(size) for modality, size in session.execute(files.group_by(Item.modality))}
        return taken, {lang: count for lang, count in session.execute(words.group_by(Caption.lang))}


def _counted(catalog: Catalog, where: Where, modality: Modality, of: Any) -> Counter[Any]:
    """Items by one value; those without it are left out."""
    conditions = [Item.modality == modality, Item.removed_at.is_(None), *matches(where, modality)]
    file = sa.func.coalesce(Item.parent_id, Item.id)
    with catalog.session() as session:
        if where.near is None:
            query = sa.select(of, sa.func.count()).select_from(Item).outerjoin(FactsRow, FactsRow.item_id == file)
            rows = session.execute(query.where(*conditions).group_by(of))
            return Counter({value: count for value, count in rows if value is not None})
        near = sa.select(of, FactsRow.latitude, FactsRow.longitude).join(FactsRow, FactsRow.item_id == file)
        found = session.execute(near.select_from(Item).where(*conditions))
        return Counter(value for value, *place in found if value is not None and is_near(where.near, *place))


def _named(counts: Counter[Any]) -> dict[str, int]:
    return {str(value): count for value, count in counts.most_common()}


def _year(day: float) -> list[str]:
    """The year of a day since 1970; none for what no calendar has."""
    try:
        return [f"{(_EPOCH + timedelta(days=day)).year:04}"]
    except OverflowError:
        return []
