"""Examine the trained heads: their artifacts, and whether each still loads."""

from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, HeadRow, IndexVersion
from engine.errors import ArtifactError
from indexer.care.findings import Finding, ok, problem
from indexer.care.leftovers import remove, unnamed_folders


def examine_heads(catalog: Catalog) -> Iterator[Finding]:
    """Every head that the catalog names. One that a version projects with takes that version with it."""
    with catalog.session() as session:
        heads = list(session.scalars(sa.select(HeadRow).order_by(HeadRow.id)))
        used = set(session.scalars(sa.select(IndexVersion.head_id)))
    for row in heads:
        try:
            check_head(catalog, row)
        except ArtifactError as error:
            rest = "a version without it is built in place of those that need it" if row.id in used else "none uses it"
            repair = f"drop it (--repair): {rest}; or restore a backup. `rebus train` fits another"
            yield problem(str(error), repair, partial(drop_head, catalog, row), row.id in used)
        else:
            yield ok(f"head {row.id}, {row.method}, is whole")


def check_head(catalog: Catalog, row: HeadRow) -> None:
    """Raise ArtifactError when the head cannot be used as it was trained."""
    from engine.heads import HOME_FOLDER  # torch: only where a head is there
    from engine.versions import load_head

    parts = PurePosixPath(row.folder).parts
    if len(parts) != 2 or parts[0] != HOME_FOLDER or parts[1] in ("..", "."):
        raise ArtifactError(f"head {row.id} is damaged: {row.folder!r} is no folder of heads")
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, row.encoder_id)
    load_head(catalog, row.id, encoder)


def drop_head(catalog: Catalog, row: HeadRow) -> None:
    """Forget a head and the versions that it projected, then delete its folder."""
    with catalog.session() as session:
        session.execute(sa.delete(IndexVersion).where(IndexVersion.head_id == row.id))
        session.execute(sa.delete(HeadRow).where(HeadRow.id == row.id))
    for folder in unnamed_folders(catalog):
        if folder == catalog.home / row.folder:
            remove(folder)
