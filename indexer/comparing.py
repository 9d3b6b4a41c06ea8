"""Several folders compared with the catalog, each step of all before the next: files move between them."""

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from engine.catalog import Catalog, Root
from engine.config import Config
from engine.errors import InvalidInput
from engine.media.files import TAR
from engine.words import counted
from indexer.copies import continue_place
from indexer.roots import (
    away_places,
    away_roots,
    how_away,
    known_roots,
    lies_elsewhere,
    looks_mounted,
    moved_roots,
    open_root,
)
from indexer.scan import Compared, Scan

_FEW = 64  # folders that are compared one by one; for more, all of their root
Note = Callable[[str], None]


def chosen(catalog: Catalog, folders: Sequence[Path], note: Note) -> Sequence[Path]:
    """The folders named; else all roots, without those whose drive is away, or in whose place a link lies."""
    if folders:
        return folders
    known = known_roots(catalog)
    if not known:
        raise InvalidInput("this library has no folders yet: name one, as in `rebus index ~/Pictures`")
    for path in away_roots(catalog):
        note(
            f"{path} {how_away(path)}: nothing of it was marked removed. "
            f"If you removed it, say so: `rebus index --gone {shlex.quote(str(path))}`"
        )
    for told in moved_roots(catalog).values():
        note(": ".join(told))
    return [path for path in known if looks_mounted(path) and not lies_elsewhere(path)]


def opened(
    catalog: Catalog, folders: Sequence[Path], *, known: bool = False, gone: bool = False, shallow: bool = False
) -> list[tuple[Root, Path]]:
    """The roots and absolute paths of folders, as `open_root` opens them: those above others first, which they take in.

    Without what lies in another of them, unless each is meant by its own name (shallow, gone).
    """
    outer_first = sorted(dict.fromkeys(folders), key=lambda folder: len(folder.expanduser().resolve().parts))
    places = {folder: open_root(catalog, folder, known=known, gone=gone) for folder in outer_first}
    kept = {path: (root, path) for root, path in (places[folder] for folder in dict.fromkeys(folders))}
    return [place for path, place in kept.items() if shallow or gone or kept.keys().isdisjoint(path.parents)]


def compare(catalog: Catalog, config: Config, scans: Sequence[Scan], note: Note) -> Iterator[Compared]:
    """Iterate to the end; each step is committed before it is yielded. The scans share what they found again."""
    for step in Scan.STEPS:
        for scan in scans:
            yield from step(scan)
    for other in _of_others(catalog, config, _compared_again(catalog, scans, note)):
        yield from other.run()
    for scan in scans:  # what left this folder for one that was compared later
        scan.report.removed -= len(scan.removed & scan.back)


def _compared_again(catalog: Catalog, scans: Sequence[Scan], note: Note) -> set[tuple[int, str]]:
    """The folders, with the ids of their roots, whose files took on, or lost, words of others; also of whole roots."""
    places = set[tuple[int, str]]().union(*(scan.again_in for scan in scans))
    for away in away_places(catalog) if any(scan.report.added for scan in scans) else ():
        found = continue_place(catalog, away, sum(scan.report.added for scan in scans))
        places |= {(one.root_id, one.folder) for one in found}
        counts = Counter(one.root_id for one in found)
        for scan in scans:
            count = min(scan.report.added, counts[scan.root.id])
            counts[scan.root.id] -= count
            scan.report.added, scan.report.renamed = scan.report.added - count, scan.report.renamed + count
            if found:  # it was empty, and nobody need say where its files went
                scan.report.notes = [said for said in scan.report.notes if not said.startswith(f"{away} is ")]
        if found:
            note(f"{away} is absent or empty, and all it held was found elsewhere: {counted(len(found), 'file')} moved")
    return places


def _of_others(catalog: Catalog, config: Config, places: Collection[tuple[int, str]]) -> Iterator[Scan]:
    """Scans of folders of whose files other sidecars speak now, as far as they are there."""
    for root_id in sorted({root_id for root_id, _ in places}):
        folders = sorted(Path(folder) for root, folder in places if root == root_id)
        with catalog.session() as session:
            root = session.get_one(Root, root_id)
        base = Path(root.path)
        if not looks_mounted(base):
            continue
        if len(folders) > _FEW or any(TAR in folder.as_posix().lower() for folder in folders):
            yield Scan(catalog, config, root, base)
        else:
            there = [base / folder for folder in folders if (base / folder).is_dir()]
            yield from (Scan(catalog, config, root, folder, shallow=True) for folder in there)
