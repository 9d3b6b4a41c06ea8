"""What indexing would do, without doing it: the same comparison on a copy of the catalog that is thrown away."""

import dataclasses
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from engine.catalog import Catalog
from engine.config import CatalogSettings, Config
from engine.errors import InvalidInput
from indexer.roots import known_roots, lies_elsewhere, open_root
from indexer.scan import Scan, ScanReport


def preview(config: Config, folders: Sequence[Path], gone: bool = False) -> list[ScanReport]:
    """The report of each folder's scan; of all roots when none is named. gone: as indexing has it.

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
            chosen = folders or [path for path in known_roots(catalog) if path.is_dir() and not lies_elsewhere(path)]
            return [_compare(catalog, copy, config.home, path, gone) for path in chosen]
        finally:
            catalog.engine.dispose()


def _compare(catalog: Catalog, copy: Config, home: Path, folder: Path, gone: bool) -> ScanReport:
    scan = Scan(catalog, copy, *open_root(catalog, folder, gone=gone), gone=gone, home=home)
    for _ in scan.run():
        pass
    return scan.report
