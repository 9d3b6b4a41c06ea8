"""The folders of a library: opened once each; media folders are joined when one turns out to hold another."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import IMPORT, Catalog, Failure, Item, Root
from engine.errors import InvalidInput


def open_root(catalog: Catalog, folder: Path, *, known: bool = False, gone: bool = False) -> tuple[Root, Path]:
    """The root that `folder` is, or lies in, and the folder's absolute path; a new root when there is none.

    A folder above known roots takes them in: their items keep their ids and get longer paths.
    known: never make one. gone: it need not be there, if it was known. Raises InvalidInput when the folder is missing,
    not a folder, not to be read, or when a root that moved lies there: its files would be known twice.
    """
    if gone and (left := _linked_root(catalog, folder)):
        return left
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
        for root, there in _moved(session):
            if (place.is_relative_to(there) or there.is_relative_to(place)) and not _overlaps(session, root, there):
                raise InvalidInput(told_of_link(root, there))
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


def _linked_root(catalog: Catalog, folder: Path) -> tuple[Root, Path] | None:
    """The root whose path, as it is known, is a link now and is this folder or above it, and the folder as written."""
    written = Path(os.path.normpath(folder.expanduser().absolute()))
    with catalog.session() as session:
        roots = session.scalars(sa.select(Root).where(Root.kind != IMPORT)).all()
    above = (root for root in roots if written.is_relative_to(root.path) and is_linked(Path(root.path)))
    return next(((root, written) for root in above), None)


def is_linked(folder: Path) -> bool:
    """Whether a path that was free of links leads over one now."""
    return os.path.realpath(folder) != str(folder)


def lies_elsewhere(folder: Path) -> Path | None:
    """Where a folder lies now whose path leads over a link; None for one that stayed, or is away."""
    return Path(os.path.realpath(folder)) if is_linked(folder) and looks_mounted(folder) else None


def moved_roots(catalog: Catalog) -> dict[Path, tuple[str, str]]:
    """Roots that hold known files, and whose paths lead to other places now: what is to be said of each, and done."""
    with catalog.session() as session:
        return {root: _of_link(root, there, _overlaps(session, root, there)) for root, there in _moved(session)}


def told_of_link(root: Path, there: Path) -> str:
    """What is to be said and done about a root in whose place a link lies."""
    return ": ".join(_of_link(root, there, known=False))


def _of_link(root: Path, there: Path, known: bool) -> tuple[str, str]:
    """known: the place is known by another name, too."""
    old, new, what = shlex.quote(str(root)), shlex.quote(str(there)), f"{root} is a link now, to {there}"
    let_go = f"`rebus index --gone {old}` lets go of the"
    if known:
        return f"{what}, which this library has by another name", f"once that is indexed, {let_go} old name"
    moved = f"if its files lie there now, say so: `rebus relocate {old} {new}`"
    return what, f"{moved}; if they are other files, {let_go} ones that are known"


def _moved(session: Session) -> list[tuple[Path, Path]]:
    """Roots that hold known files and are links now, each with where it leads."""
    roots = [Path(path) for path in session.scalars(_holding_files())]
    return [(root, there) for root in roots if (there := lies_elsewhere(root))]


def _overlaps(session: Session, root: Path, place: Path) -> bool:
    """Whether a place holds, or lies in, another root than this one."""
    others = (Path(path) for path in session.scalars(sa.select(Root.path)) if path != str(root))
    return any(place.is_relative_to(other) or other.is_relative_to(place) for other in others)


def _holding_files() -> sa.Select[tuple[str]]:
    """The folders that scans walk and that hold known files, in the order they were added."""
    query = sa.select(Root.path).where(Root.kind != IMPORT).order_by(Root.id)
    return query.where(sa.exists().where(Item.root_id == Root.id, Item.removed_at.is_(None)))


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


def is_on_away_drive(folder: Path, drives: Sequence[Path]) -> bool:
    """Whether a folder lies at the place of a drive that is away."""
    return any(folder.is_relative_to(drive) and holds_no_drive(drive) for drive in drives)


def away_roots(catalog: Catalog) -> list[Path]:
    """The folders that scans walk, hold known files, and are absent or empty now."""
    with catalog.session() as session:
        return [path for text in session.scalars(_holding_files()) if not looks_mounted(path := Path(text))]


def away_places(catalog: Catalog) -> list[Path]:
    """Those, and the places of drives, within roots that are there, that are absent or empty now."""
    away = away_roots(catalog)
    inner = [place for place in drive_places(catalog) if not looks_mounted(place)]
    return [*away, *(place for place in inner if not any(place.is_relative_to(root) for root in away))]


def how_away(root: Path) -> str:
    """What is to be said of a root that does not look mounted."""
    if root.is_file():
        return "is a file now, and was a folder"
    return "is absent or empty now (a drive that is not mounted?)"


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
