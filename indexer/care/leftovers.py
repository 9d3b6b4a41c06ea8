"""Files under the home that nothing in the catalog names: what a killed run or a replaced version left."""

import os
import shutil
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, HeadRow, IndexVersion, Item
from engine.status import MAPS
from engine.store import store_folder
from engine.thumbnails import thumbnail_file
from engine.types import Modality
from indexer.jobs import PLANS, WRITTEN

_TEMPORARY = ".tmp-"


def unnamed_folders(catalog: Catalog) -> list[Path]:
    """Folders of versions, heads and embeddings, and maps, that no row names.

    Only the holder of the write lock may remove any.
    """
    with catalog.session() as session:
        folders = sa.union(sa.select(IndexVersion.folder), sa.select(HeadRow.folder))
        named = {catalog.home / folder for folder in session.scalars(folders)}
        shards = session.execute(sa.select(EncoderRow.fingerprint, EncoderRow.generation).where(EncoderRow.rows > 0))
        named |= {store_folder(catalog.home, row.fingerprint, row.generation) for row in shards}
        served = sa.select(EncoderRow.fingerprint, IndexVersion.generation)
        served = served.join(IndexVersion, IndexVersion.encoder_id == EncoderRow.id)
        named |= {store_folder(catalog.home, row.fingerprint, row.generation) for row in session.execute(served)}
        versions = session.scalars(sa.select(IndexVersion.id))
        named |= {catalog.home / MAPS / f"{version}.safetensors" for version in versions}
    places = [place for kind in ("versions", "heads", "embeddings", MAPS) for place in catalog.home.glob(f"{kind}/*")]
    return sorted(place for place in places if place not in named and not place.name.startswith(_TEMPORARY))


def temporary_files(home: Path) -> list[Path]:
    """What a killed run was writing. The next writer removes it before anything else."""
    patterns = (f"{folder}/{_TEMPORARY}*" for folder in (*WRITTEN, MAPS, PLANS))
    return sorted(path for pattern in patterns for path in home.glob(pattern))


def remove(path: Path) -> int:
    """Delete a file or a folder as far as it can be; return the bytes that went."""
    before = bytes_of(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return before - bytes_of(path)


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of the files below a folder; 0 when it is not there."""
    files: Iterator[Path] = iter([path])
    if path.is_dir() and not path.is_symlink():
        files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    total = 0
    for file in files:
        with suppress(FileNotFoundError):
            total += os.lstat(file).st_size
    return total


def orphan_thumbnails(catalog: Catalog, gone: Set[int] = frozenset()) -> Iterator[Path]:
    """Thumbnails of contents that no item has, neither a present nor a removed one.

    gone: items that are not asked, nor are their frames.
    """
    for folder in sorted(catalog.home.glob("thumbs/*")):
        named = sa.select(Item.content_hash, Item.id, Item.parent_id)
        named = named.where(Item.content_hash.like(f"{folder.name}%"))
        with catalog.session() as session:
            contents = {
                row.content_hash
                for row in session.execute(named)
                if not gone or (row.id not in gone and row.parent_id not in gone)
            }
        for path in sorted(folder.glob("*.jpg")):
            if not path.name.startswith(_TEMPORARY) and path.stem.partition("-")[0] not in contents:
                yield path


def missing_thumbnails(catalog: Catalog) -> int:
    """How many present pictures have none; one is made when it is asked for."""
    query = sa.select(Item.content_hash, Item.position).distinct()
    query = query.where(Item.removed_at.is_(None), Item.content_hash.is_not(None))
    query = query.where(Item.modality.in_([Modality.IMAGE, Modality.VIDEO]))
    with catalog.session() as session:
        rows = session.execute(query.execution_options(yield_per=1000))
        return sum(not thumbnail_file(catalog.home, row.content_hash, row.position).exists() for row in rows)
