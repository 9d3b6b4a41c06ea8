"""A media folder that moved as a whole: its items keep ids, embeddings and captions, and nothing is read again."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from engine.catalog import IMPORT, Catalog, Item, Root
from engine.config import Config
from engine.errors import InvalidInput
from indexer.changes import place_in
from indexer.jobs import Tell, writing
from indexer.roots import looks_mounted

_SAMPLE = 200  # files looked for in the new place


@dataclass(frozen=True, slots=True)
class Relocated:
    """Where a root lies now; how many of the files that were looked for are there, and of the same size."""

    root: str
    files: int
    looked_for: int
    found: int


def relocate(config: Config, old: Path, new: Path, tell: Tell) -> Relocated:
    """Say that the root `old` lies at `new` now.

    Raises InvalidInput when `old` is no root, `new` overlaps another root, or holds none of the files that are known;
    LibraryBusy when another process writes.
    """
    catalog = Catalog(config)
    try:
        with writing(catalog, "relocate", tell):
            return _relocate(catalog, old, new)
    finally:
        catalog.engine.dispose()


def _relocate(catalog: Catalog, old: Path, new: Path) -> Relocated:
    place = _new_place(new)
    with catalog.session() as session:
        roots = list(session.scalars(sa.select(Root).order_by(Root.id)))
        root = _known(roots, old)
        for other in roots:
            if other is not root and (place.is_relative_to(other.path) or Path(other.path).is_relative_to(place)):
                raise InvalidInput(
                    f"{place} overlaps {other.path}, which is in this library: index that one instead, and then "
                    f"`rebus index --gone {shlex.quote(root.path)}`"
                )
        known = sa.select(Item.path, Item.size).where(Item.root_id == root.id)
        known = known.where(Item.parent_id.is_(None), Item.removed_at.is_(None))
        files = session.scalar(sa.select(sa.func.count()).select_from(known.subquery())) or 0
        step = max(1, files // _SAMPLE)  # spread over the ids, and so over the folders
        sample = session.execute(known.where(Item.id % step == 0).limit(2 * _SAMPLE)).all()
        sample = sample or session.execute(known.limit(_SAMPLE)).all()
        found = sum(_is_there(place / row.path, row.size) for row in sample)
        if sample and not found and root.kind != IMPORT:  # whose pictures need not be there
            raise InvalidInput(
                f"{place} holds none of {len(sample)} files of {root.path} that were looked for: "
                "name the folder that lies where that one lay"
            )
        before, root.path = place_in(root.path, ""), str(place)
        moved = sa.update(Item).where(Item.told_as.startswith(before, autoescape=True))
        session.execute(moved.values(told_as=place_in(root.path, "") + sa.func.substr(Item.told_as, len(before) + 1)))
    return Relocated(str(place), files, len(sample), found)


def _new_place(new: Path) -> Path:
    try:
        place = new.expanduser().resolve(strict=True)
        str(place).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"the path of {new!r} is not valid UTF-8: rename the folder") from None
    except OSError as error:
        raise InvalidInput(f"{new} cannot be read: {error.strerror}. Is the drive mounted?") from None
    if not place.is_dir() or not looks_mounted(place):
        raise InvalidInput(f"{place} is no folder that holds anything: name where the files lie now")
    return place


def _known(roots: list[Root], old: Path) -> Root:
    """The root that is meant. It may be gone, so its path is compared as it is written, then with links followed."""
    written = Path(os.path.normpath(old.expanduser().absolute()))
    for path in (written, written.resolve()):
        for root in roots:
            if Path(root.path) == path:
                return root
    names = ", ".join(root.path for root in roots) or "none"
    raise InvalidInput(f"{written} is no folder of this library, whose folders are: {names}")


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.lstat().st_size == size
    except OSError:
        return False
