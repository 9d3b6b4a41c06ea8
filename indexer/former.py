"""Where files lay before they moved. A caption table that names that path speaks of them still, and so does a sidecar

that was left there: what they say follows the file, until another file lies there, or they say it no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Catalog, Item, chunks
from indexer.changes import place_in
from indexer.found import Folder, Former, FoundFile
from indexer.roots import drive_places, is_on_away_drive, known_roots, looks_mounted
from indexer.shards import is_there, own_sidecars, tables_above


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder: the root that it lies in, what it holds of sidecars, the tables that speak of it, is its drive away."""

    root: Path
    folder: Folder
    tables: tuple[FoundFile, ...]
    away: bool


class FormerPlaces:
    """The tables of places at which files lay before, through one scan."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._roots = known_roots(catalog)
        self.drives = drive_places(catalog)
        self._places: dict[str, _Place | None] = {}
        with catalog.session() as session:
            self._any = session.scalar(sa.select(Item.id).where(Item.told_as.is_not(None)).limit(1)) is not None

    def now(self, told_as: str | None) -> tuple[Former | None, bool]:
        """What may speak of a file that lay at an absolute path, None where another file is there now.

        And whether that path lies on a drive that is away: what tables there say now, nobody knows.
        """
        if told_as is None:
            return None, False
        folder, _, name = told_as.rpartition("/")
        place = self._place(folder)
        if place is None or place.away or is_there(told_as):
            return None, place is not None and place.away
        path = f"{place.folder.path}/{name}" if place.folder.path else name
        return Former(place.root, path, place.tables, place.folder), False

    def _place(self, folder: str) -> _Place | None:
        """None for what lies in no root."""
        if folder not in self._places:
            path = Path(folder)
            root = next((root for root in self._roots if path.is_relative_to(root)), None)
            self._places[folder] = self._look_at(root, path) if root else None
        return self._places[folder]

    def _look_at(self, root: Path, path: Path) -> _Place:
        left = not looks_mounted(root) or is_on_away_drive(path, self.drives)
        below = path.relative_to(root).as_posix()
        folder = Folder("" if below == "." else below, sidecars=own_sidecars(root, path))
        return _Place(root, folder, tables_above(root, path / "file"), left)

    def below(self, root: Path) -> Sequence[str]:
        """The paths, relative to a root, at which files lay that are present elsewhere."""
        first = place_in(str(root), "")
        query = sa.select(Item.told_as).where(Item.told_as.is_not(None), Item.removed_at.is_(None))
        with self._catalog.session() as session:
            return [path[len(first) :] for path in session.scalars(query) if path and path.startswith(first)]

    def contested(self, session: Session, places: Sequence[str]) -> set[tuple[int, str]]:
        """The roots and folders of files that tables know by these absolute paths, at which new files lie now."""
        found = set[tuple[int, str]]()
        query = sa.select(Item.root_id, Item.folder).where(Item.removed_at.is_(None), Item.parent_id.is_(None))
        for some in chunks(places, 500) if self._any else ():
            found.update(session.execute(query.where(Item.told_as.in_(some))).tuples())
        return found
