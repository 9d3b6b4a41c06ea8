"""What indexing would do, without doing it: the same comparison on a copy of the catalog that is thrown away."""

import dataclasses
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from engine.catalog import Catalog, Item, Job, Root, chunks
from engine.config import CatalogSettings, Config
from engine.errors import InvalidInput
from indexer.changes import place_in
from indexer.comparing import Note, chosen, compare, opened
from indexer.copies import lies_in
from indexer.roots import away_places
from indexer.scan import Scan, ScanReport, content_at


def preview(
    config: Config, folders: Sequence[Path], gone: bool = False, note: Note = lambda text: None
) -> list[ScanReport]:
    """The report of each folder's scan; of all roots when none is named. gone, note: as indexing has them.

    Raises InvalidInput as indexing does.
    """
    if config.catalog.url:
        raise InvalidInput("--dry-run works on a copy of the catalog, which only a SQLite catalog allows")
    with tempfile.TemporaryDirectory(prefix="rebus-dry-run-") as folder:
        copy = dataclasses.replace(config, home=Path(folder), catalog=CatalogSettings())
        database = config.home / "catalog.db"
        if database.is_file():
            with (
                closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(copy.home / "catalog.db")) as target,
            ):
                source.backup(target)
        catalog = Catalog(copy, create=True)
        try:
            with catalog.session() as session:
                session.add(Job(kind="index", pid=os.getpid()))  # what comes now came in a run of its own
            places = opened(catalog, chosen(catalog, folders, note), gone=gone)
            back = set[int]()
            scans = [Scan(catalog, copy, *place, gone=gone, home=config.home, back=back) for place in places]
            wanted = _sizes_away(catalog)
            for compared in compare(catalog, copy, scans, note):
                _note_contents(catalog, copy, compared.touched if wanted else (), wanted)
            return [scan.report for scan in scans]
        finally:
            catalog.engine.dispose()


def _sizes_away(catalog: Catalog) -> set[int]:
    """Of the files of places that are absent or empty: what they held may be found elsewhere."""
    query = sa.select(Item.size).join(Root, Root.id == Item.root_id).where(Item.removed_at.is_(None))
    query = query.where(Item.content_hash.is_not(None)).distinct()
    with catalog.session() as session:
        return {size for away in away_places(catalog) for size in session.scalars(query.where(lies_in(away)))}


def _note_contents(catalog: Catalog, config: Config, ids: Sequence[int], sizes: set[int]) -> None:
    """Hash those new files that are of some sizes, as the reading for an encoder does."""
    query = sa.select(Item.id, Item.path, Item.size, Root.path.label("root")).join(Root, Root.id == Item.root_id)
    query = query.where(Item.parent_id.is_(None), Item.content_hash.is_(None))
    for some in chunks(ids, 500):
        with catalog.session() as session:
            for row in session.execute(query.where(Item.id.in_(some))).all():
                if row.size in sizes and (content := content_at(place_in(row.root, row.path), config)):
                    session.execute(sa.update(Item).where(Item.id == row.id).values(content_hash=content))
