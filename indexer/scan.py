"""Compare a media folder with the catalog, and record what was added, changed, renamed or removed.

What cannot be used becomes a row of failures with its reason, never a stop. A failed file keeps its item row as
removed, so that it is not tried again before it changes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Catalog, Embedding, Failure, Item, Root, chunks
from engine.config import Config
from engine.errors import MediaError
from engine.media.files import hash_file
from engine.types import Modality
from indexer.captions import renew_embeddings, sync_captions
from indexer.failures import forget_failures, record_failure
from indexer.roots import open_root
from indexer.sidecars import CaptionReader, FoundFile
from indexer.walk import walk

_BATCH = 500  # files in one transaction


@dataclass(slots=True)
class ScanReport:
    """How many pictures were found, and what came of them. notes: what a person should know."""

    found: int = 0
    added: int = 0
    changed: int = 0
    renamed: int = 0
    removed: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog has of a folder before it is compared.

    items: of files, by path: the present ones, and those that failed. unreadable: ids of items that could not be
    read; rights change without a trace, so these are tried again. removed: tombstones by size, newest first, for
    files that come back under any name.
    """

    items: dict[str, Item]
    unreadable: set[int]
    removed: dict[int, list[Item]]


def scan(catalog: Catalog, config: Config, folder: Path, tell: Callable[[int, int], None]) -> ScanReport:
    """Bring the catalog's rows of `folder` up to date. `tell(done, total)` hears of progress in files.

    A folder without any picture never marks its items removed: the drive may not be mounted. Raises InvalidInput
    when the folder cannot be read.
    """
    root, start = open_root(catalog, folder)
    return _Scan(catalog, config, root, start).run(tell)


class _Scan:
    def __init__(self, catalog: Catalog, config: Config, root: Root, start: Path) -> None:
        self.catalog, self.config, self.root = catalog, config, root
        self.base = Path(root.path)
        below = start.relative_to(self.base).as_posix()
        self.prefix = "" if below == "." else f"{below}/"
        self.seen = walk(self.base, start, config.home.resolve())
        self.captions = CaptionReader(self.base, self.seen.sidecars, config.captions)
        self.report = ScanReport(found=len(self.seen.pictures))

    def run(self, tell: Callable[[int, int], None]) -> ScanReport:
        self._remove_missing()
        known = self._known()
        done = 0
        for files in chunks(self.seen.pictures, _BATCH):
            with self.catalog.session() as session:
                self._take_in(session, files, known)
            done += len(files)
            tell(done, len(self.seen.pictures))
        with self.catalog.session() as session:
            self._record_failures(session)
        return self.report

    def _remove_missing(self) -> None:
        """Mark items whose files are gone, and drop the failures of files that are gone."""
        present = {file.path for file in self.seen.pictures}
        gone = [item for path, item in self._known().items.items() if path not in present and not self._unread(path)]
        if gone and not present:
            self.report.notes.append(f"{self.base / self.prefix} holds no pictures now: nothing was marked removed")
            return
        for items in chunks(gone, _BATCH):
            ids = [item.id for item in items]
            with self.catalog.session() as session:
                forget_failures(session, ids)
                change = sa.update(Item).where(sa.or_(Item.id.in_(ids), Item.parent_id.in_(ids)))
                session.execute(change.where(Item.removed_at.is_(None)).values(removed_at=time.time()))
        self.report.removed = sum(item.removed_at is None for item in gone)

    def _unread(self, path: str) -> bool:
        """Whether the path lies in a folder that could not be read this time."""
        return any(path.startswith(folder) for folder in self.seen.unread)

    def _known(self) -> Known:
        query = sa.select(Item, Failure.stage).outerjoin(Failure, Failure.item_id == Item.id)
        query = query.where(Item.parent_id.is_(None)).order_by(Item.id.desc())
        known = Known({}, set(), {})
        with self.catalog.session() as session:
            for item, stage in session.execute(query):
                if item.removed_at is not None and stage is None:
                    known.removed.setdefault(item.size, []).append(item)
                elif item.root_id == self.root.id and item.path.startswith(self.prefix):
                    known.items[item.path] = item
                    if stage == "read":
                        known.unreadable.add(item.id)
        return known

    def _take_in(self, session: Session, files: Sequence[FoundFile], known: Known) -> None:
        """Bring the rows of some files up to date, then those of their captions."""
        items = [self._take_in_file(session, file, known) for file in files]
        fresh = [item for item in items if item.id is None]
        self.report.added += len(fresh)
        session.add_all(fresh)
        session.flush()
        stale = [item for item in items if item.removed_at is None and item.stamp != self.captions.stamp(item.path)]
        sync_captions(session, stale, self.captions)

    def _take_in_file(self, session: Session, file: FoundFile, known: Known) -> Item:
        if file.path in known.items:
            item = session.merge(known.items[file.path], load=False)
            if (item.size, item.mtime_ns) != (file.size, file.mtime_ns) or item.id in known.unreadable:
                self._change(session, item, file)
            return item
        back = self._returned(session, file, known)
        if back is not None:
            return back
        item = Item(root_id=self.root.id, modality=Modality.IMAGE, path=file.path, stamp="")
        item.size, item.mtime_ns = file.size, file.mtime_ns
        return item

    def _change(self, session: Session, item: Item, file: FoundFile) -> None:
        """The file was written since: embed it again, unless its content is what it was."""
        content = self._hash(file.path)
        item.size, item.mtime_ns = file.size, file.mtime_ns
        if content is not None and content == item.content_hash and item.removed_at is None:
            return
        forget_failures(session, [item.id])
        session.execute(sa.delete(Embedding).where(Embedding.item_id == item.id))
        item.content_hash, item.removed_at, item.stamp = content, None, ""
        self.report.changed += 1

    def _returned(self, session: Session, file: FoundFile, known: Known) -> Item | None:
        """A removed item with the same content: the file was renamed, moved, or came back. It keeps its id."""
        candidates = known.removed.get(file.size, [])
        content = self._hash(file.path) if candidates else None
        found = next((item for item in candidates if content and item.content_hash == content), None)
        if found is None:
            return None
        candidates.remove(found)
        item = session.merge(found, load=False)
        children = sa.update(Item).where(Item.parent_id == item.id)
        session.execute(children.values(root_id=self.root.id, path=file.path))
        item.root_id, item.path, item.mtime_ns = self.root.id, file.path, file.mtime_ns
        item.removed_at, item.stamp = None, ""  # its captions are compared again, and revived with their ids
        renew_embeddings(session, [item.id])
        self.report.renamed += 1
        return item

    def _hash(self, path: str) -> str | None:
        try:
            return hash_file(self.base / path, self.config.media.max_bytes)
        except MediaError:
            return None  # decoding will meet the same and record it

    def _record_failures(self, session: Session) -> None:
        """Write what the walk and the sidecars met, and drop what no longer holds."""
        own = sa.select(Failure).where(Failure.root_id == self.root.id, Failure.item_id.is_(None))
        for row in session.scalars(own).all():
            not_looked_at = row.path in self.seen.sidecars and row.path not in self.captions.looked_at
            if row.path.startswith(self.prefix) and not not_looked_at and not self._unread(row.path):
                session.delete(row)
        session.flush()
        for path, error in {**self.seen.failures, **self.captions.failures}.items():
            record_failure(session, self.root.id, None, path, error)
