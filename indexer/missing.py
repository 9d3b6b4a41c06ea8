"""Known files that a walk did not find: which are passed over now, which were removed, and which may only be away.

A drive that is not mounted takes nothing with it. It is told by what it leaves: a root, or a folder, that is empty now;
the place of a drive, which the last scan saw, without one; nearly all files missing at once. What was removed for good
is then for a person to say.
"""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.media.files import TAR
from engine.words import counted
from indexer.roots import looks_mounted

_MANY, _LEFT = 10, 9  # files that are missing at once, and how many for each that is left, are not believed
_NAMED = 3  # folders in one note


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog has of a file: present, or failed (then `stage` says where)."""

    id: int
    path: str
    size: int
    mtime_ns: int
    stamp: str
    content_hash: str | None
    present: bool
    stage: str | None


@dataclass(slots=True)
class Judgement:
    """What to take out, what to say, and the folders, relative to the root, whose files are kept as a drive's."""

    removed: Sequence[Known] = ()
    notes: list[str] = field(default_factory=list)
    away: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan looked: the root, the part of it, with a slash at its end or "", and the drives last seen in it.

    found: media files. mounts: folders relative to the root. known: how many files were known there before.
    """

    root: Path
    prefix: str
    shallow: bool
    found: int
    mounts: Sequence[str]
    known: Callable[[], int]


def judge(place: Place, rows: Sequence[Known]) -> Judgement:
    """Which of these files, found by no walk, are to be taken out of results."""
    if rows and not looks_mounted(place.root):  # since the walk began
        return Judgement(notes=[_doubted(f"{place.root} is absent or empty now", place)])
    there = [row for row in rows if _is_there(place.root, row.path)]
    passed = {row.id for row in there}
    rest = [row for row in rows if row.id not in passed]
    away = _away(place, rest)
    kept = {row.id for some in away.values() for row in some}
    rest = [row for row in rest if row.id not in kept]
    judged = Judgement([*there, *rest], away=frozenset(away))
    if hidden := _present(there):
        judged.notes.append(
            f"{counted(hidden, 'known file', 'is', 'are')} passed over now in {place.root / place.prefix}, by "
            "--exclude, index.exclude or a .rebusignore: out of results, until a run does not pass over them"
        )
    if doubt := _doubt(place, rest, others=_present(there) + sum(map(_present, away.values())), there=bool(there)):
        judged.notes.append(_doubted(doubt, place))
        judged.removed = there
    if any(map(_present, away.values())):
        judged.notes.append(_told_away(place, away))
    return judged


def _present(rows: Sequence[Known]) -> int:
    return sum(row.present for row in rows)


def _is_there(root: Path, path: str) -> bool:
    """Whether the file is on the disk: then it is passed over. Of a picture in a tar, whether the tar is."""
    parts = path.split("/")
    tars = (n for n, part in enumerate(parts[:-1], 1) if part.lower().endswith(TAR))
    return os.path.lexists(root / path) or any((root / "/".join(parts[:n])).is_file() for n in tars)


def _doubt(place: Place, rows: Sequence[Known], others: int, there: bool) -> str:
    """Why these files are not believed to be removed; "" when they are. others: known files that are judged already."""
    where = place.root / place.prefix
    if rows and not place.found and not there and not place.shallow:
        return f"{where} holds no media now"
    missing = _present(rows)
    if missing < _MANY:
        return ""
    before = place.known() - others
    few = missing > _LEFT * (before - missing)
    return f"{missing:,} of the {before:,} files that were known in {where} are missing" if few else ""


def _doubted(doubt: str, place: Place) -> str:
    return (
        f"{doubt} (a drive that is not mounted, or in part?): nothing was marked removed. If you removed them, "
        f"say so: `rebus index --gone {shlex.quote(str(place.root / place.prefix))}`"
    )


def _away(place: Place, rows: Sequence[Known]) -> dict[str, list[Known]]:
    """Files by the folder below the root whose drive is not there, as far as can be told."""
    folders: dict[str, str | None] = {}
    found: dict[str, list[Known]] = {}
    for row in rows:
        folder = row.path.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = _left_by_a_drive(place, folder)
        if (left := folders[folder]) is not None:
            found.setdefault(left, []).append(row)
    return {folder: some for folder, some in found.items() if folder in place.mounts or _present(some) >= _MANY}


def _left_by_a_drive(place: Place, folder: str) -> str | None:
    """The folder, or one above it, that was a drive's and is none now; else the nearest that is there, if empty."""
    above = list(_upwards(folder))
    for one in reversed(above):
        if one in place.mounts and not os.path.ismount(place.root / one):
            return one
    nearest = next((one for one in above if os.path.lexists(place.root / one)), None)
    if nearest is None or os.path.ismount(place.root / nearest):
        return None
    try:
        return None if os.listdir(place.root / nearest) else nearest
    except OSError:  # a file, or not to be read
        return None


def _upwards(folder: str) -> Iterator[str]:
    """A folder and all above it, without the root."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _told_away(place: Place, away: Mapping[str, Sequence[Known]]) -> str:
    count = Counter({folder: _present(rows) for folder, rows in away.items()})
    folders = [place.root / folder for folder in sorted(count)]
    few = len(folders) <= _NAMED
    said = ", ".join(map(str, folders[:_NAMED])) + ("" if few else f" and {len(folders) - _NAMED:,} more folders")
    named = folders if few else [Path(os.path.commonpath(folders))]
    command = " ".join(shlex.quote(str(folder)) for folder in named)
    return (
        f"{said} {'is' if len(folders) == 1 else 'are'} absent or empty now, and held {counted(count.total(), 'file')} "
        "(a drive that is not mounted?): nothing of that was marked removed. If you removed them, say so: "
        f"`rebus index --gone {command}`"
    )
