"""Follow folders live: each change is taken in by a scan of the folder it happened in."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from watchfiles import Change, DefaultFilter, watch

from engine.catalog import Catalog
from engine.config import Config
from engine.encoders import load_encoder
from engine.errors import DiskFull, DriveGone, LibraryBusy, NotReady
from engine.media.files import TAR
from indexer.choice import chosen_encoder
from indexer.jobs import Tell
from indexer.library import Note, index_folders
from indexer.roots import known_roots, looks_mounted
from indexer.scan import ScanReport

_SETTLE_MS = 1000  # changes that come closer together are taken in as one
_MANY = 64  # changed folders from which the whole root is compared instead


def watch_folders(
    config: Config, folders: Sequence[Path], tell: Tell, note: Note, until: Callable[[], bool] = lambda: False
) -> None:
    """Index the folders (all known ones when none is named), then what changes in them, until interrupted.

    until: asked once a second or so whether to end. Raises NotReady when no encoder is chosen.
    """
    index_folders(config, folders, tell, note=note)
    catalog = Catalog(config)
    spec = chosen_encoder(catalog, config)
    if spec is None:
        raise NotReady("no encoder is chosen yet: run `rebus index` on these folders, and do what it says")
    encoder = load_encoder(spec, config.encoder.device)
    roots = [folder.expanduser().resolve() for folder in folders] or [
        path for path in known_roots(catalog) if looks_mounted(path)
    ]
    changed, whole = set[Path](), set(roots)  # once the folders are watched, they are compared once more
    following = False
    for changes in watch(
        *roots,
        watch_filter=_OutsideOf(config.home.resolve()),
        debounce=_SETTLE_MS,
        yield_on_timeout=True,
        rust_timeout=1000,
        raise_interrupt=True,
    ):
        if until():
            return
        changed |= {Path(path).parent for _, path in changes}
        whole = {path for path in whole | _new_folders(changes) if path.is_dir()}
        try:
            for deep, some in _divided(roots, changed, whole):
                report = index_folders(config, some, tell, shallow=not deep, encoder=encoder)
                for scan in report.scans:
                    note(_said(scan))
            changed, whole = set(), set()
            if not following:
                following = True
                note(f"following {', '.join(map(str, roots))}: Ctrl-C ends it")
        except (LibraryBusy, DiskFull, DriveGone) as error:
            note(f"{error}. It will be tried again")


class _OutsideOf(DefaultFilter):
    """watchfiles' own filter, which passes over hidden and service folders, without the library's home."""

    def __init__(self, home: Path) -> None:
        super().__init__(ignore_paths=[home])


def _new_folders(changes: Iterable[tuple[Change, str]]) -> set[Path]:
    """Folders that came as a whole, whose content is no change of its own, and those in which a tar changed."""
    came = {Path(path) for change, path in changes if change is Change.added and Path(path).is_dir()}
    return came | {Path(path).parent for _, path in changes if path.lower().endswith(TAR)}


def _divided(roots: Sequence[Path], changed: set[Path], whole: set[Path]) -> list[tuple[bool, list[Path]]]:
    """What to scan, as (deep, folders): changed folders alone, new ones with all below; everything when many."""
    if len(changed) + len(whole) > _MANY:
        return [(True, [root for root in roots if looks_mounted(root)])]
    alone = sorted({_nearest(path, roots) for path in changed} - whole)
    return [(False, alone)] * bool(alone) + [(True, sorted(whole))] * bool(whole)


def _nearest(path: Path, roots: Sequence[Path]) -> Path:
    """The folder, or the nearest above it that still is there."""
    while not path.is_dir() and path not in roots and path != path.parent:
        path = path.parent
    return path


def _said(scan: ScanReport) -> str:
    counts = {"new": scan.added, "changed": scan.changed, "renamed": scan.renamed, "removed": scan.removed}
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing new"
