"""The folders of a library: opened once each; media folders are joined when one turns out to hold another."""

import os
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import IMPORT, Catalog, Failure, Item, Root
from engine.errors import InvalidInput


def open_root(catalog: Catalog, folder: Path, *, known: bool = False, gone: bool = False) -> tuple[Root, Path]:
    """The root that `folder` is, or lies in, and the folder's absolute path; a new root when there is none.

    A folder above known roots takes them in: their items keep their ids and get longer paths.
    known: never make one. gone: it need not be there, if it was known. Raises InvalidInput when the folder is missing,
    not a folder, or not to be read.
    """
    try:
        place = folder.expanduser().resolve(strict=not gone)
        known = known or not place.exists()
        if not gone or place.exists():
            next(iter(place.iterdir()), None)
    except NotADirectoryError:
        raise InvalidInput(f"{folder} is a file: name the folder it is in") from None
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be indexed: {error.strerror}. Is the drive mounted?") from None
    try:
        str(place).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"the path of {folder!r} is not valid UTF-8: rename the folder") from None
    with catalog.session() as session:
        roots = list(session.scalars(sa.select(Root).where(Root.kind != IMPORT)))
        if session.scalar(sa.select(Root.id).where(Root.kind == IMPORT, Root.path == str(place))):
            raise InvalidInput(f"{place} holds an imported feature library: `rebus import` brings it up to date")
        above = next((root for root in roots if place.is_relative_to(root.path)), None)
        if above is None and known:
            raise InvalidInput(f"{place} lies in no folder of this library: index it by its own name")
        if above is None:
            above = Root(path=str(place))
            session.add(above)
            session.flush()
            for below in roots:
                if Path(below.path).is_relative_to(place):
                    above.unfinished = above.unfinished or below.unfinished
                    _absorb(session, below, above)
        return above, place


def _absorb(session: Session, below: Root, above: Root) -> None:
    inner = Path(below.path).relative_to(above.path).as_posix()
    folder = sa.case((Item.folder == "", inner), else_=sa.literal(f"{inner}/") + Item.folder)
    session.execute(sa.update(Item).where(Item.root_id == below.id).values(folder=folder))
    for table in (Item, Failure):
        change = sa.update(table).where(table.root_id == below.id)
        session.execute(change.values(root_id=above.id, path=sa.literal(f"{inner}/") + table.path))
    above.mounts = [*(above.mounts or ()), *(f"{inner}/{mount}" for mount in below.mounts or ())]
    session.delete(below)


def known_roots(catalog: Catalog) -> list[Path]:
    """The folders that scans walk, whether or not they are there, in the order they were added."""
    query = sa.select(Root.path).where(Root.kind != IMPORT).order_by(Root.id)
    with catalog.session() as session:
        return [Path(path) for path in session.scalars(query)]


def drive_places(catalog: Catalog) -> list[Path]:
    """The folders within roots at which scans saw drives, or which these left empty."""
    with catalog.session() as session:
        rows = session.execute(sa.select(Root.path, Root.mounts).where(Root.kind != IMPORT).order_by(Root.id)).all()
    return [Path(row.path) / one for row in rows for one in row.mounts or ()]


def away_roots(catalog: Catalog) -> list[Path]:
    """The folders that scans walk, hold known files, and are absent or empty now."""
    query = sa.select(Root.path).where(Root.kind != IMPORT).order_by(Root.id)
    query = query.where(sa.exists().where(Item.root_id == Root.id, Item.removed_at.is_(None)))
    with catalog.session() as session:
        return [path for text in session.scalars(query) if not looks_mounted(path := Path(text))]


def open_import_root(catalog: Catalog, place: Path) -> Root:
    """The root of a feature library whose pictures lie below `place`, an absolute path; a new one when there is none.

    Raises InvalidInput when the folder is scanned already: its items are files, and not rows of features.
    """
    with catalog.session() as session:
        root = session.scalar(sa.select(Root).where(Root.path == str(place)))
        if root is None:
            root = Root(path=str(place), kind=IMPORT)
            session.add(root)
        elif root.kind != IMPORT:
            raise InvalidInput(
                f"{place} is indexed as a media folder already: import into a library of its own, with --home"
            )
        return root


def looks_mounted(root: Path) -> bool:
    """Whether a root's folder is there and holds anything. An empty one may be where a drive is mounted."""
    try:
        return next(iter(root.iterdir()), None) is not None
    except OSError:
        return False


def holds_no_drive(folder: Path) -> bool:
    """Whether no drive is mounted there, or an empty one: a container is given an empty folder for an absent drive."""
    return not os.path.ismount(folder) or not looks_mounted(folder)
