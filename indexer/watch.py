"""Follow folders live: each change is taken in by a scan of the folder it happened in."""

import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch

from engine.catalog import Catalog
from engine.config import Config
from engine.encoders import load_encoder
from engine.errors import DiskFull, DriveGone, InvalidInput, LibraryBusy, NotReady
from engine.media.files import TAR
from indexer.choice import chosen_encoder
from indexer.comparing import Note
from indexer.jobs import Tell
from indexer.library import index_folders
from indexer.roots import drive_places, how_away, known_roots, looks_mounted
from indexer.rules import IGNORE_FILE
from indexer.scan import ScanReport
from indexer.sidecars.names import bare, is_places_table, is_shard_table, is_table
from indexer.walk import is_passed_over

_SETTLE_MS = 1000  # changes that come closer together are taken in as one
_POLL_MS = 2000  # between looks at all files, where the system cannot tell of them
_MANY = 64  # changed folders from which the whole root is compared instead
_Changes = set[tuple[Change, str]]
_Identity = tuple[tuple[int, int] | None, ...]  # device and inode of a root, then of the places of drives in it


def watch_folders(
    config: Config, folders: Sequence[Path], tell: Tell, note: Note, until: Callable[[], bool] = lambda: False
) -> None:
    """Index the folders (all known ones when none is named), then what changes in them, until interrupted.

    A folder that goes away is said once, and taken up again when it returns; the others are followed on.
    until: asked once a second or so whether to end. Raises NotReady when no encoder is chosen.
    """
    try:
        index_folders(config, folders, tell, note=note)
    except DriveGone as error:
        note(f"{error}. It will be tried again")
    catalog = Catalog(config)
    spec = chosen_encoder(catalog, config)
    if spec is None:
        raise NotReady("no encoder is chosen yet: run `rebus index` on these folders, and do what it says")
    encoder = load_encoder(spec, config.encoder.device)
    roots = [folder.expanduser().resolve() for folder in folders] or known_roots(catalog)
    work = _Work(roots, note)
    for watched, changes, unsure in _changes(catalog, roots, config.home.resolve(), note):
        if until():
            return
        work.take(watched, changes, unsure)
        try:
            for deep, some in work.divided():
                report = index_folders(
                    config, some, tell, shallow=not deep, encoder=encoder, known=True, deleted=work.deleted
                )
                for scan in report.scans:
                    note(_said(scan))
                    for text in scan.notes:
                        note(text)
            work.done()
        except (LibraryBusy, DiskFull, DriveGone) as error:
            note(f"{error}. It will be tried again")
        except InvalidInput as error:  # a folder that went or was replaced just now: what came of it is a change, too
            note(f"{error}. What changed is passed over")
            work.done()


def _changes(
    catalog: Catalog, roots: Sequence[Path], home: Path, note: Note
) -> Iterator[tuple[dict[Path, _Identity], _Changes, Sequence[Path]]]:
    """The roots that are watched, what changed in them, and the folders below which it is not certain that what is told

    to be deleted was; once a second or so, and watched anew when a root or a drive goes or returns. The last watch is
    heard to its end only after the next one began, so that nothing is missed between them.
    watchfiles gives up at a name that is not valid UTF-8: then all files are looked at again and again.
    """
    polling, drives, last = False, list[Path](), None
    while True:
        drives = _drives(catalog, drives)
        now = _Watch(roots, drives, home, polling)
        if not now.watched:
            time.sleep(_SETTLE_MS / 1000)
            yield now.watched, set(), ()
            continue
        try:
            changes, unsure = now.hear()
            if last is not None:
                more, unsure_then = last.hear()
                changes, unsure = changes | more, [*unsure, *unsure_then]
                last.end()
            last = now
            while True:
                there = now.holds(roots)
                yield now.watched, changes, unsure
                if not (there and now.holds(roots)) or _drives(catalog, drives) != drives:
                    break
                changes, unsure = now.hear()
        except FileNotFoundError:  # gone since it was looked for
            continue
        except RuntimeError as error:  # the public base of what watchfiles raises
            if not polling:
                note(f"{error}: changes are looked for every two seconds. Rename it and watch again to be told of them")
            polling, last = True, None
            time.sleep(_SETTLE_MS / 1000)
            yield now.watched, set(), ()


class _Watch:
    """A watch of the roots that are there when it is made; it begins when it is first heard."""

    def __init__(self, roots: Sequence[Path], drives: Sequence[Path], home: Path, polling: bool) -> None:
        self.watched, self._drives = _there(roots, drives), drives
        self._certain = not polling and _hears_of_deletions()
        self._changes = watch(
            *self.watched,
            watch_filter=_OutsideOf(home),
            debounce=_SETTLE_MS,
            yield_on_timeout=True,
            rust_timeout=1000,
            raise_interrupt=True,
            force_polling=polling or None,
            poll_delay_ms=_POLL_MS,
        )

    def hear(self) -> tuple[_Changes, Sequence[Path]]:
        """What changed since it was heard last, and the folders below which deletions are not certain."""
        changes = next(self._changes)
        return changes, _replaced(self.watched, self._drives) if self._certain else list(self.watched)

    def holds(self, roots: Sequence[Path]) -> bool:
        """Whether the roots and the drives in them are those that it watches."""
        return _there(roots, self._drives) == self.watched

    def end(self) -> None:
        """Watch no more."""
        self._changes.close()


def _hears_of_deletions() -> bool:
    """Whether a deletion is a program's own act, as Linux tells it: it says nothing of files on a drive that goes.

    By looking again and again, as watchfiles does on WSL or when told to, the two are alike.
    """
    kernel = platform.uname()
    looks = "WATCHFILES_FORCE_POLLING" in os.environ or "microsoft" in kernel.release.lower()
    return kernel.system == "Linux" and not looks


def _there(roots: Sequence[Path], drives: Sequence[Path]) -> dict[Path, _Identity]:
    """The roots that are there, each with who it is: another folder, or another drive in it, is watched anew."""
    there = {root: _identity(root) for root in roots if _is_open(root)}
    inner = {root: [_identity(place) for place in drives if place.is_relative_to(root)] for root in there}
    return {root: (own, *inner[root]) for root, own in there.items() if own is not None}


def _replaced(watched: dict[Path, _Identity], drives: Sequence[Path]) -> list[Path]:
    """The roots, and the places of drives in them, that are gone or another than when the watch began."""
    now, found = _there(list(watched), drives), list[Path]()
    for root, before in watched.items():
        places = [root, *(place for place in drives if place.is_relative_to(root))]
        after = now.get(root, (None,) * len(before))
        found += [place for place, was, is_now in zip(places, before, after, strict=True) if was != is_now]
    return found


def _drives(catalog: Catalog, last: list[Path]) -> list[Path]:
    """Places of drives; the last ones while the catalog is locked."""
    try:
        return drive_places(catalog)
    except LibraryBusy:
        return last


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode, None of what is not there."""
    with suppress(OSError):
        facts = folder.stat()
        return facts.st_dev, facts.st_ino
    return None


def _is_open(folder: Path) -> bool:
    """Whether it is a folder that can be read, and no part of its path a link."""
    return os.path.realpath(folder) == str(folder) and folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)


class _Work:
    """What is to be scanned. Only what lies in a root that is there ever is.

    deleted: files of which it is certain that they were removed, though all of a folder were.
    """

    def __init__(self, roots: Sequence[Path], note: Note) -> None:
        self.roots, self.note = roots, note
        self.deleted = set[str]()
        self._watched: dict[Path, _Identity] = {}
        self._changed, self._whole = set[Path](), set[Path]()
        self._away = set[Path]()
        self._following = False

    def take(
        self, watched: dict[Path, _Identity], changes: Iterable[tuple[Change, str]], unsure: Sequence[Path] = ()
    ) -> None:
        """Add what changed. After a new watch began, every root is compared once more: between it and the last one,
        nobody looked. watched: another object for each watch. unsure: folders below which deletions are not certain.
        """
        deleted = {path for change, path in changes if change is Change.deleted}
        self.deleted |= {path for path in deleted if not any(Path(path).is_relative_to(one) for one in unsure)}
        if watched is not self._watched:
            self._whole |= set(watched)
        self._watched = watched
        self._changed |= {Path(path).parent for _, path in changes}
        self._whole |= _new_folders(changes)
        emptied = {root for root in watched if any(Path(path).is_relative_to(root) for path in self.deleted)}
        away = {root for root in self.roots if root not in watched or not (looks_mounted(root) or root in emptied)}
        for root in self.roots:
            if root in away - self._away:
                self.note(f"{root} {how_away(root)}: it is taken up once it is back")
            elif root in self._away - away:
                self.note(f"{root} is back")
                self._whole.add(root)
        self._away = away

    def divided(self) -> list[tuple[bool, list[Path]]]:
        """What to scan, as (deep, folders): new folders with all below, then changed ones alone; everything when many.

        New ones come first: what moved into them is known again before another file at its old name is taken for it.
        """
        roots = [root for root in self.roots if root not in self._away]
        if len(self._changed) + len(self._whole) > _MANY:
            return [(True, roots)] * bool(roots)
        whole = {folder for path in self._whole if (folder := _nearest(path, roots))}
        alone = {folder for path in self._changed if (folder := _nearest(path, roots))} - whole
        return [(True, sorted(whole))] * bool(whole) + [(False, sorted(alone))] * bool(alone)

    def done(self) -> None:
        """All of it was scanned."""
        self._changed, self._whole, self.deleted = set(), set(), set()
        if not self._following:
            self._following = True
            self.note(f"following {', '.join(map(str, self.roots))}: Ctrl-C ends it")


class _OutsideOf(DefaultFilter):
    """watchfiles' own filter, which passes over hidden and service folders, without the library's home."""

    def __init__(self, home: Path) -> None:
        super().__init__(ignore_paths=[home])


def _new_folders(changes: Iterable[tuple[Change, str]]) -> set[Path]:
    """Folders that came as a whole, whose content is no change of its own, and those in which a tar changed, what is
    passed over, or a table of captions, which speaks of all below it.
    """
    came = {Path(path) for change, path in changes if change is Change.added and _is_open(Path(path))}
    told = {Path(path) for _, path in changes if path.lower().endswith((TAR, f"/{IGNORE_FILE}"))}
    told |= {Path(path) for _, path in changes if is_table(bare(path)) or is_shard_table(bare(path))}
    places = {Path(path).parent for _, path in changes if is_places_table(bare(path))}
    return came | {path.parent for path in told | places}


def _nearest(path: Path, roots: Sequence[Path]) -> Path | None:
    """The folder, or the nearest above it that can be read; None when it lies in no root, or where no walk goes."""
    root = next((root for root in roots if path.is_relative_to(root)), None)
    if root is None or any(is_passed_over(part) for part in path.relative_to(root).parts):
        return None
    while path != root and not _is_open(path):
        path = path.parent
    return path


def _said(scan: ScanReport) -> str:
    counts = {"new": scan.added, "changed": scan.changed, "renamed": scan.renamed, "removed": scan.removed}
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing new"
