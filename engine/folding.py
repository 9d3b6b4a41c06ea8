"""Folding near-duplicates in results: of each group, the best-scoring picture is shown, and stands for the others."""

from collections.abc import Iterable, Sequence
from itertools import islice

import sqlalchemy as sa

from engine.catalog import Catalog, Item, chunks

_CHUNK = 500  # ids in one IN clause, below every database's limit
_GROUPS = sa.select(Item.id, Item.group_id).where(
    Item.id.in_(sa.bindparam("ids", expanding=True)), Item.group_id.is_not(None)
)
_SIZES = (
    sa.select(Item.group_id, sa.func.count() - sa.func.count(Item.removed_at))
    .where(Item.group_id.in_(sa.bindparam("groups", expanding=True)))
    .group_by(Item.group_id)
)


class Fold:
    """A ranked list that is taken in from its best on, until enough of it is shown."""

    def __init__(self, catalog: Catalog, *, fold: bool, open_groups: Iterable[int] = ()) -> None:
        """fold: show one of each group, but every member of the open ones; otherwise everything is shown."""
        self.ids: list[int] = []
        self.scores: list[float] = []
        self._catalog, self._fold, self._open = catalog, fold, frozenset(open_groups)
        self._seen: set[int] = set()
        self._shown: dict[int, int] = {}  # the item that is shown of each group

    def take(self, ids: Sequence[int], scores: Sequence[float], wanted: int) -> None:
        """Go on with a deeper list, as far as it takes to show `wanted`. What is shown already keeps its place."""
        fresh = ((i, score) for i, score in zip(ids, scores, strict=True) if i not in self._seen)
        while len(self.ids) < wanted and (part := list(islice(fresh, min(_CHUNK, 2 * wanted)))):
            groups = groups_of(self._catalog, [i for i, _ in part]) if self._fold else {}
            for i, score in part:
                self._show(i, score, groups.get(i))

    def _show(self, item: int, score: float, group: int | None) -> None:
        self._seen.add(item)
        if group is not None and group not in self._open:
            if group in self._shown:
                return
            self._shown[group] = item
        self.ids.append(item)
        self.scores.append(score)

    def alike(self, ids: Sequence[int]) -> dict[int, int]:
        """How many others of its group are folded under each of these, where any are."""
        asked, found = set(ids), dict[int, int]()
        groups = [group for group, item in self._shown.items() if item in asked]
        for part in chunks(groups, _CHUNK):
            with self._catalog.reading() as connection:
                for group, size in connection.execute(_SIZES, {"groups": part}):
                    found[self._shown[group]] = size - 1
        return found


def groups_of(catalog: Catalog, ids: Sequence[int]) -> dict[int, int]:
    """The group of each of these items that has one."""
    found: dict[int, int] = {}
    with catalog.reading() as connection:
        for part in chunks(ids, _CHUNK):
            found.update((i, group) for i, group in connection.execute(_GROUPS, {"ids": part}).all())
    return found
