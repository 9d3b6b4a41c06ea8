"""A library of tiny files whose contents a catalog knows: two scans, a folder renamed, half of the files removed."""

import shutil
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.catalog import Catalog, Item, Root
from engine.config import Config
from engine.media.files import hash_file
from indexer.roots import open_root
from indexer.scan import Scan, ScanReport
from tests.bench.support import Memory, library


def scans(place: Path, count: int) -> dict[str, Any]:
    """Seconds of each scan, and the memory of a process that does nothing else."""
    media = place / "tiny"
    for number in range(count):
        folder = media / f"{number // 20_000}" / f"{number // 500}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(b"%08d" % number + b"x" * (number % 97))
    row: dict[str, Any] = {"part": "scan", "files": count}
    with library(place) as config:
        with Memory() as memory:
            _scan_four_times(config, media, count, row)
        row["catalog_mb"] = round((config.home / "catalog.db").stat().st_size / 1e6)
    shutil.rmtree(media)
    return {**row, **memory.row()}


def _scan_four_times(config: Config, media: Path, count: int, row: dict[str, Any]) -> None:
    catalog = Catalog(config, create=True)
    row["first_s"], report = _scan(catalog, config, media)
    assert report.added == count
    _pretend_read(catalog)
    row["second_s"], report = _scan(catalog, config, media)
    assert (report.found, report.added, report.changed, report.removed) == (count, 0, 0, 0)
    (media / "0").rename(media / "renamed")
    row["renamed_folder_s"], report = _scan(catalog, config, media)
    assert (report.renamed, report.added, report.removed) == (min(count, 20_000), 0, 0)
    for path in sorted(media.iterdir())[: -(-len(list(media.iterdir())) // 2)]:
        shutil.rmtree(path)
    row["half_removed_s"], report = _scan(catalog, config, media)
    row["removed"] = report.removed
    catalog.engine.dispose()


def _scan(catalog: Catalog, config: Config, media: Path) -> tuple[float, ScanReport]:
    started = time.perf_counter()
    scan = Scan(catalog, config, *open_root(catalog, media))
    for _ in scan.run():
        pass
    return round(time.perf_counter() - started, 2), scan.report


def _pretend_read(catalog: Catalog) -> None:
    """Give each item the hash that decoding would have: these files are no pictures."""
    query = sa.select(Item.id, Item.path)
    with catalog.session() as session:
        base, last = Path(session.scalars(sa.select(Root.path)).one()), 0
        while rows := session.execute(query.where(Item.id > last).order_by(Item.id).limit(10_000)).all():
            hashes = [{"id": row.id, "content_hash": hash_file(base / row.path, 1000)} for row in rows]
            session.execute(sa.update(Item), hashes)
            last = rows[-1].id
