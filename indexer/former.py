"""Where files lay before they moved. A caption table that names that path speaks of them still: its row follows them,

until another file lies there, or the table is written without that row.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from engine.catalog import Catalog, Item
from indexer.changes import place_in
from indexer.found import Former, FoundFile
from indexer.roots import drive_places, holds_no_drive, known_roots, looks_mounted
from indexer.shards import is_there, tables_above


class FormerPlaces:
    """The tables of places at which files lay before, through one scan."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._roots = known_roots(catalog)
        self.drives = drive_places(catalog)
        self._tables: dict[Path, tuple[FoundFile, ...]] = {}
        self._away: dict[Path, bool] = {}

    def of(self, told_as: str | None) -> Former | None:
        """What may speak of a file that lay at an absolute path; None where another file is there now."""
        if told_as is None or is_there(told_as):
            return None
        place = Path(told_as)
        root = next((root for root in self._roots if place.is_relative_to(root)), None)
        if root is None:
            return None
        if place.parent not in self._tables:
            self._tables[place.parent] = tables_above(root, place)
        return Former(root, place.relative_to(root).as_posix(), self._tables[place.parent])

    def is_away(self, told_as: str | None) -> bool:
        """Whether that path lies on a drive that is away: what tables there say now, nobody knows."""
        if told_as is None:
            return False
        folder = Path(os.path.dirname(told_as))
        if folder not in self._away:
            left = [drive for drive in self.drives if folder.is_relative_to(drive) and holds_no_drive(drive)]
            left += [root for root in self._roots if folder.is_relative_to(root) and not looks_mounted(root)]
            self._away[folder] = bool(left)
        return self._away[folder]

    def below(self, root: Path) -> Sequence[str]:
        """The paths, relative to a root, at which files lay that are present elsewhere."""
        first = place_in(str(root), "")
        query = sa.select(Item.told_as).where(Item.told_as.is_not(None), Item.removed_at.is_(None))
        with self._catalog.session() as session:
            return [path[len(first) :] for path in session.scalars(query) if path and path.startswith(first)]
