"""Compare a media folder with the catalog, and record what was added, changed, renamed or removed.

The walk streams: a few folders at a time are compared with what the catalog has of them, so memory holds no more than
the largest folder. What cannot be used becomes a row of failures with its reason, never a stop. A failed file keeps its
item row as removed, so that it is not tried again before it changes.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Catalog, Failure, Item, Root, chunks
from engine.config import Config
from engine.errors import InvalidInput, MediaError
from engine.media import modality_of
from engine.media.files import hash_file
from engine.types import Modality
from indexer.captions import Described, sources, sync_sidecars
from indexer.changes import Moved, bring_back, forget_content, insert_items, mark_removed, place_in
from indexer.copies import continue_in_copies, has_left
from indexer.failures import forget_failures, record_failure
from indexer.former import FormerPlaces
from indexer.found import Folder, FoundFile
from indexer.missing import Known, Place, believe, judge
from indexer.moves import Moves
from indexer.roots import is_linked
from indexer.sidecars import CaptionReader
from indexer.walk import walk

_GROUP_FILES, _GROUP_FOLDERS = 4096, 256  # what is compared at once
_MOST_HELD = 65_536  # files that may be known ones: so many are decided about together
_REMEMBERED = 16_384  # contents, of files that were hashed last
_CHUNKS = (16, 256, 4096)  # files in one transaction: few at first, so that something can be searched soon


_Work = tuple[Folder, FoundFile, Known | None]  # a file that is new, or another than the catalog has


@dataclass(slots=True)
class ScanReport:
    """How many media files were found, and what came of them. notes: what a person should know."""

    found: int = 0
    added: int = 0
    changed: int = 0
    renamed: int = 0
    removed: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Compared:
    """One transaction's worth of files. touched: ids of file items, and of their captions, that may need embedding."""

    files: int
    touched: list[int]


class Scan:
    """One comparison of a folder. Iterate `run` to its end; each step is committed before it is yielded.

    A folder without any media, or without nearly all of what it had, marks no item removed: the drive may not be
    mounted, or in part.
    retry: try files again that failed before. again: have all files read again, changed or not. shallow: look into
    `start` alone, not below. gone: believe that what is missing was removed, `start` itself perhaps, but not what
    drives below it hold. deleted: absolute paths of files that were seen to be removed. home: the library's, which
    is passed over, when it is not the setting's. back: takes the ids of items whose files were found elsewhere; shared
    by scans that are compared before any is finished.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: Config,
        root: Root,
        start: Path,
        *,
        retry: bool = False,
        again: bool = False,
        shallow: bool = False,
        gone: bool = False,
        deleted: Collection[str] = (),
        home: Path | None = None,
        back: set[int] | None = None,
    ) -> None:
        self.catalog, self.config, self.root, self.start = catalog, config, root, start
        self._deleted = deleted
        self.retry, self.again, self.shallow, self.gone = retry, again, shallow, gone
        self.home = (home or config.home).resolve()
        self.base = Path(root.path)
        below = start.relative_to(self.base).as_posix()
        self.prefix = "" if below == "." else f"{below}/"
        self._former = FormerPlaces(catalog)
        self.captions = CaptionReader(self.base, config.captions, self._former.below)
        self.report = ScanReport()
        self._failures: dict[str, MediaError] = {}
        self._sidecars: set[str] = set()
        self._tables: dict[str, FoundFile] = {}
        self._began = False
        self._visited: set[str] = set()
        self._unread: list[str] = []
        self._gone: list[Known] = []
        self.removed, self.back = set[int](), set[int]() if back is None else back
        self.again_in = set[tuple[int, str]]()  # roots and folders whose files took on, or lost, words of other files
        self._held: list[tuple[Folder, FoundFile]] = []
        self._replaced: list[tuple[Folder, FoundFile, Known]] = []  # paths that hold another content than they did
        self._same = set[int]()  # items whose files were written since, and hold what they held
        self._hash = lru_cache(_REMEMBERED)(partial(content_at, config=config))
        self._moves = Moves(self._hash, root.path, self._former.drives, self.back)
        self._mounts: set[str] = set()
        self._away: frozenset[str] = frozenset()

    def run(self) -> Iterator[Compared]:
        """Compare everything; then mark what is gone, and write what could not be looked at."""
        for step in self.STEPS:
            yield from step(self)

    def compare(self) -> Iterator[Compared]:
        """The walk, with all that can be told of a file when it is met."""
        chunk_sizes = iter(_CHUNKS)
        size = next(chunk_sizes)
        for group in self._groups():
            known = self._known(group)
            self._note_missing(group, known)
            files = [(folder, file) for folder in group for file in folder.media]
            self.report.found += len(files)
            start = 0
            while start < len(files):
                yield self._compare(files[start : start + size], known)
                start, size = start + size, next(chunk_sizes, _CHUNKS[-1])
                if len(self._held) + len(self._replaced) >= _MOST_HELD:
                    yield from self.reconcile()
                    yield from self._settle_rest()

    def reconcile(self) -> Iterator[Compared]:
        """Files that came to the paths of others, known again before any of these is taken for edited."""
        self._moves.look_again()
        replaced, self._replaced = self._replaced, []
        for part in chunks(replaced, _CHUNKS[-1]):
            yield Compared(0, self._settle_renamed(part))

    def finish(self) -> Iterator[Compared]:
        """What can be told only when all files were met."""
        yield from self._settle_rest()
        self._remove_missing()
        self.captions.unmatched(self._tables.values())
        with self.catalog.session() as session:
            self._record_failures(session)
            self._end(session)

    STEPS = compare, reconcile, finish  # each of all folders before the next one: files move between them

    def _groups(self) -> Iterator[list[Folder]]:
        """Folders in the order of the walk, a few thousand files at a time."""
        group: list[Folder] = []
        for folder in self.folders():
            self._visited.add(folder.path)
            if folder.mounted:
                self._mounts.add(folder.path)
            self._failures.update(folder.failures)
            self._sidecars.update(file.path for file in folder.sidecars.values())
            if folder.unread:
                self._unread.append(f"{folder.path}/" if folder.path else "")
            if self.root.unfinished and folder.media:  # what was cut short may have read them, and told nothing yet
                self._tables.update((table.path, table) for table in folder.tables)
            group.append(folder)
            if sum(len(f.media) for f in group) >= _GROUP_FILES or len(group) >= _GROUP_FOLDERS:
                yield group
                group = []
        if group:
            yield group

    def folders(self) -> Iterator[Folder]:
        """The walk by itself."""
        if self.gone and (not os.path.lexists(self.start) or is_linked(self.start)):
            return iter(())
        found = walk(self.base, self.start, self.home, self.config.index.exclude)
        return islice(found, 1) if self.shallow else found

    def _known(self, group: Sequence[Folder]) -> dict[str, Known]:
        """What the catalog has of these folders' files, by path; a present item before a failed one of its path."""
        columns = (Item.id, Item.path, Item.size, Item.mtime_ns, Item.stamp, Item.content_hash)
        query = sa.select(*columns, Item.removed_at.is_(None), Failure.stage, Item.told_as)
        query = query.outerjoin(Failure, Failure.item_id == Item.id).order_by(Item.id.desc())
        query = query.where(Item.root_id == self.root.id, Item.parent_id.is_(None))
        query = query.where(sa.or_(Item.removed_at.is_(None), Failure.id.is_not(None)))
        known: dict[str, Known] = {}
        with self.catalog.session() as session:
            for row in session.execute(query.where(Item.folder.in_([folder.path for folder in group]))):
                if row.path not in known or row[6]:
                    known[row.path] = Known(*row)
        return known

    def _note_missing(self, group: Sequence[Folder], known: dict[str, Known]) -> None:
        present = {file.path for folder in group for file in folder.media}
        read = {folder.path for folder in group if not folder.unread}
        self._gone += [row for path, row in known.items() if path not in present and path.rpartition("/")[0] in read]

    def _compare(self, files: Sequence[tuple[Folder, FoundFile]], known: dict[str, Known]) -> Compared:
        """Bring the rows of some files up to date, then those of their captions."""
        work, stale, again = list[_Work](), list[Described](), list[int]()
        for folder, file in files:
            row = known.get(file.path)
            if row is not None and row.id in self.back:  # its file lies elsewhere now
                row = None
            if row is not None and self._is_replaced(row, file):
                self._replaced.append((folder, file, row))
                continue
            if row is None or (row.size, row.mtime_ns) != (file.size, file.mtime_ns) or self._to_retry(row, file):
                work.append((folder, file, row))
            elif row.present:
                former, away = self._former.now(row.told_as)
                now, known_by = self.captions.stamp(folder, file, former), sources(row.stamp)
                if known_by != now and not (away and known_by.startswith(f"{now}~")):  # but for what is away
                    stale.append(Described(row.id, folder, file, row.stamp, row.told_as, former, away))
            if self.again and row is not None and row.present:
                again.append(row.id)
        if not work and not stale:
            return Compared(len(files), again)
        with self.catalog.session() as session:
            self._begin(session)
            known_again = self._known_again(session, work)
            touched = self._write(session, work, known_again, stale)
        return Compared(len(files), touched + again)

    def _is_replaced(self, row: Known, file: FoundFile) -> bool:
        """Whether the content that was at a path is there no more: it was edited, or renamed and may be found yet."""
        if not row.present or row.content_hash is None or (row.size, row.mtime_ns) == (file.size, file.mtime_ns):
            return False
        if row.size == file.size and self._hash(place_in(self.root.path, file.path)) == row.content_hash:
            self._same.add(row.id)
            return False
        return True

    def _settle_rest(self) -> Iterator[Compared]:
        """Bring in the files that were held back, as the items that they are or as new ones."""
        replaced, self._replaced = self._replaced, []
        for part in chunks(replaced, _CHUNKS[-1]):
            yield Compared(0, self._settle_edited(part))
        held, self._held = self._held, []
        if not held:
            return
        with self.catalog.session() as session:
            moved = {one.file.path: one for one in self._moves.settled(session, [file for _, file in held])}
        for some in chunks(held, _CHUNKS[-1]):
            known_again = [moved[file.path] for _, file in some if file.path in moved]
            with self.catalog.session() as session:
                touched = self._write(session, [(folder, file, None) for folder, file in some], known_again, [])
            yield Compared(0, touched)

    def _settle_renamed(self, replaced: Sequence[tuple[Folder, FoundFile, Known]]) -> list[int]:
        """Bring in those files that are known ones from other paths. The others are kept for later."""
        with self.catalog.session() as session:
            self._begin(session)
            moved = self._moves.renamed(session, [file for _, file, _ in replaced])
            taken, renamed = {one.file.path for one in moved}, {one.id for one in moved} | self.back
            left = [row.id for _, file, row in replaced if file.path in taken and row.id not in self.back]
            gone = [item for item in left if item not in renamed]
            mark_removed(session, gone)
            mark_removed(session, left, alone=True)
            came = [(folder, file, None) for folder, file, _ in replaced if file.path in taken]
            touched = self._write(session, came, moved, [])
        self._replaced += [one for one in replaced if one[1].path not in taken]
        self.removed.update(gone)
        return touched

    def _settle_edited(self, replaced: Sequence[tuple[Folder, FoundFile, Known]]) -> list[int]:
        """Bring in files that are new at the paths of others, which were renamed, or are those, edited."""
        with self.catalog.session() as session:
            work = [(folder, file, None if row.id in self.back else row) for folder, file, row in replaced]
            return self._write(session, work, self._known_again(session, work), [])

    def _known_again(self, session: Session, work: list[_Work]) -> list[Moved]:
        """Those of the new files that are known ones. What may be one, and another may be it, is held back."""
        moved, maybe = self._moves.of(session, [file for _, file, row in work if row is None])
        paths = {file.path for file in maybe}
        self._held += [(folder, file) for folder, file, _ in work if file.path in paths]
        work[:] = [one for one in work if one[1].path not in paths]
        return moved

    def _write(
        self, session: Session, work: Sequence[_Work], moved: Sequence[Moved], stale: Sequence[Described]
    ) -> list[int]:
        """Take files in, and make captions what sidecars say. Ids of what may need embedding."""
        places = [place_in(self.root.path, file.path) for _, file, row in work if row is None]
        self.again_in |= self._former.contested(session, places)
        touched = self._take_in(session, work, moved)
        told = set(self.captions.failures)
        described = [*self._described(session, work, touched), *stale]
        words = sync_sidecars(session, self.root.id, described, self.captions)
        for path in self.captions.failures.keys() - told:  # with the stamps by which no scan reads them again
            record_failure(session, self.root.id, None, path, self.captions.failures[path])
        return [i for i in touched if i is not None] + words

    def _described(self, session: Session, work: Sequence[_Work], touched: Sequence[int | None]) -> Iterator[Described]:
        """Files that were taken in, to be compared with what their sidecars say."""
        back: dict[int, tuple[str, str | None]] = {}
        for some in chunks([i for i in touched if i in self.back], 500):
            query = sa.select(Item.id, Item.stamp, Item.told_as).where(Item.id.in_(some))
            back |= {row.id: (row.stamp, row.told_as) for row in session.execute(query)}
        for i, (folder, file, row) in zip(touched, work, strict=True):
            known = (row.stamp, row.told_as) if row else ("", None)
            stamp, told_as = known if i is None else back.get(i, ("", known[1]))
            item = row.id if i is None and row else i
            if item is not None:
                yield Described(item, folder, file, stamp, told_as, *self._former.now(told_as))

    def _begin(self, session: Session) -> None:
        """With the first change, say that this scan has not come to its end."""
        if not self._began:
            session.execute(sa.update(Root).where(Root.id == self.root.id).values(unfinished=True))
            self._began = True

    def _end(self, session: Session) -> None:
        """Nothing is left to be told; of the whole root, if the whole of it was looked at."""
        part = self.shallow or self.prefix != ""
        if self._began or (self.root.unfinished and not part):
            unfinished = self.root.unfinished and part
            session.execute(sa.update(Root).where(Root.id == self.root.id).values(unfinished=unfinished))
        mounts = self._drives()
        if mounts != (self.root.mounts or []):
            session.execute(sa.update(Root).where(Root.id == self.root.id).values(mounts=mounts))

    def _drives(self) -> list[str]:
        """Folders of the root that are places of drives: those that were seen, are away, or were not looked at."""
        seen = self._mounts | self._away
        return sorted(seen | {one for one in self.root.mounts or () if one not in seen and not self._looked_at(one)})

    def _looked_at(self, folder: str) -> bool:
        within = f"{folder}/".startswith(self.prefix) and not self._is_unread(f"{folder}/")
        return within and (not self.shallow or folder in self._visited)

    def _to_retry(self, row: Known, file: FoundFile) -> bool:
        """Rights and limits change without a trace: what could not be read is tried again as soon as it can be."""
        if self.retry or row.stage != "read":
            return self.retry and row.stage is not None
        media = self.config.media
        long = modality_of(file.path) in (Modality.VIDEO, Modality.AUDIO)
        most = media.max_film_bytes if long else media.max_bytes
        return 0 < file.size <= most and os.access(self.base / file.path, os.R_OK)

    def _take_in(self, session: Session, work: Sequence[_Work], moved: Sequence[Moved]) -> list[int | None]:
        """The items of new, changed and returned files; None where the content is what it was. moved: known files."""
        back = self._bring_back(session, moved)
        fresh = [_new_row(self.root.id, file) for _, file, row in work if row is None and file.path not in back]
        made = iter(insert_items(session, fresh))
        self.report.added += len(fresh)
        ids: list[int | None] = []
        for _, file, row in work:
            if row is not None:
                ids.append(self._change(session, row, file))
            else:
                ids.append(back[file.path] if file.path in back else next(made))
        return ids

    def _change(self, session: Session, row: Known, file: FoundFile) -> int | None:
        """The file was written since: read it again, unless its content is what it was."""
        facts = {"size": file.size, "mtime_ns": file.mtime_ns}
        if row.id in self._same:
            session.execute(sa.update(Item).where(Item.id == row.id).values(**facts))
            return None
        forget_failures(session, [row.id])
        forget_content(session, row.id)
        session.execute(sa.update(Item).where(Item.id == row.id).values(**facts, removed_at=None, stamp=""))
        self.report.changed += 1
        return row.id

    def _bring_back(self, session: Session, moved: Sequence[Moved]) -> dict[str, int]:
        """New paths of known files whose own is gone, and the items that keep their ids so."""
        if moved:
            bring_back(session, self.root, moved)
        self.back.update(one.id for one in moved)
        self.report.renamed += len(moved)
        return {one.file.path: one.id for one in moved}

    def _remove_missing(self) -> None:
        """Mark items whose files are gone, and drop the failures of files that are gone."""
        gone = [row for row in (*self._gone, *self._in_missing_folders()) if row.id not in self.back]
        prefix = "" if self.shallow else self.prefix
        place = Place(
            self.base, prefix, self.shallow, self.report.found, self.root.mounts or (), self._count_known, self._deleted
        )
        judged = believe(place, gone) if self.gone else judge(place, gone)
        continued = self._continue([row for row in judged.removed if row.present])
        removed = [row for row in judged.removed if row.id not in continued]
        for rows in chunks(removed, 500):
            with self.catalog.session() as session:
                forget_failures(session, [row.id for row in rows])
                mark_removed(session, [row.id for row in rows if row.present])
        self.removed |= {row.id for row in removed if row.present}
        self.report.removed = len(self.removed)
        self.report.notes += judged.notes
        self._away = judged.away

    def _continue(self, rows: Sequence[Known]) -> set[int]:
        """Those of the leaving items that take the places of later copies of their files."""
        rows = [row for row in rows if row.content_hash is not None]
        places = {row.id: place_in(self.root.path, row.path) for row in rows}
        left = {row.id: row.content_hash or "" for row in rows if has_left(places[row.id])}
        continued = continue_in_copies(self.catalog, left)
        self.again_in |= {(one.root_id, one.folder) for one in continued}
        self.report.renamed += len(continued)
        return {one.id for one in continued}

    def _count_known(self) -> int:
        """How many files were known, before this scan, in what is looked at."""
        prefix = "" if self.shallow else self.prefix
        known = sa.select(sa.func.count()).where(Item.root_id == self.root.id, Item.parent_id.is_(None))
        known = known.where(Item.removed_at.is_(None), Item.path.startswith(prefix, autoescape=True))
        with self.catalog.session() as session:
            return (session.scalar(known) or 0) - self.report.added

    def _in_missing_folders(self) -> Iterator[Known]:
        """What the catalog has of folders that the walk did not come by."""
        query = sa.select(Item.folder).where(Item.root_id == self.root.id, Item.parent_id.is_(None)).distinct()
        with self.catalog.session() as session:
            folders = [folder for folder in session.scalars(query) if self._is_missing(folder)]
        for some in chunks(folders, 256):
            yield from self._known([Folder(path) for path in some]).values()

    def _is_missing(self, folder: str) -> bool:
        if folder in self._visited or not f"{folder}/".startswith(self.prefix):
            return False
        if self._is_unread(f"{folder}/"):
            return False
        if not self.shallow:
            return True
        first = folder[len(self.prefix) :].partition("/")[0]  # nothing below was looked at: is it there at all?
        return not os.path.lexists(self.start / first)

    def _record_failures(self, session: Session) -> None:
        """Write what the walk and the sidecars met, and drop what no longer holds."""
        met = {**self._failures, **self.captions.failures}
        own = sa.select(Failure).where(Failure.root_id == self.root.id, Failure.item_id.is_(None))
        for row in session.scalars(own).all():
            not_looked_at = row.path in self._sidecars and row.path not in self.captions.looked_at
            folder = row.path.rpartition("/")[0]
            within = folder in self._visited or not self.shallow
            looked_at = row.path.startswith(self.prefix) and within and not not_looked_at
            if looked_at and row.path not in met and not self._is_unread(row.path):
                session.delete(row)
        session.flush()
        for path, error in met.items():
            record_failure(session, self.root.id, None, path, error)

    def _is_unread(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self._unread)


def content_at(place: str, config: Config) -> str | None:
    """The hash of the content at an absolute path; None where it cannot be read: decoding records why."""
    try:
        return hash_file(Path(place), config.media.max_film_bytes)
    except MediaError:
        return None


def _new_row(root_id: int, file: FoundFile) -> dict[str, Any]:
    modality = modality_of(file.path)
    if modality is None:
        raise InvalidInput(f"{file.path} is no media")  # the walk yields media alone
    return {
        "root_id": root_id,
        "modality": modality,
        "path": file.path,
        "folder": file.path.rpartition("/")[0],
        "size": file.size,
        "mtime_ns": file.mtime_ns,
    }
