"""Known files that a walk did not find: which are passed over now, which were removed, and which may only be away.

A drive that is not mounted takes nothing with it. It is told by what it leaves: a root, or a folder, that is empty now;
the place of a drive, which the last scan saw, without one; nearly all files missing at once. What was removed for good
is then for a person to say.
"""

import os
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.words import counted
from indexer.changes import place_in
from indexer.roots import holds_no_drive, how_away, looks_mounted
from indexer.shards import is_there

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
    told_as: str | None = None


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
    deleted: absolute paths of files that were seen to be removed, each by itself.
    """

    root: Path
    prefix: str
    shallow: bool
    found: int
    mounts: Sequence[str]
    known: Callable[[], int]
    deleted: Collection[str] = ()


def judge(place: Place, rows: Sequence[Known]) -> Judgement:
    """Which of these files, found by no walk, are to be taken out of results."""
    seen = [row for row in rows if place_in(str(place.root), row.path) in place.deleted]
    seen = [row for row in seen if not is_there(place_in(str(place.root), row.path))]
    believed = {row.id for row in seen}
    judged = _judged(place, [row for row in rows if row.id not in believed], _present(seen))
    judged.removed = [*seen, *judged.removed]
    return judged


def _judged(place: Place, rows: Sequence[Known], seen: int) -> Judgement:
    """The same without a sign of who removed them. seen: known files that are judged already."""
    if rows and not looks_mounted(place.root):  # since the walk began
        return Judgement(notes=[_doubted(f"{place.root} {how_away(place.root)}", place)])
    there = [row for row in rows if is_there(place_in(str(place.root), row.path))]
    passed = {row.id for row in there}
    rest = [row for row in rows if row.id not in passed]
    away = _away(place, rest)
    kept = {row.id for some in away.values() for row in some}
    rest = [row for row in rest if row.id not in kept]
    judged = Judgement([*there, *rest], away=frozenset(away))
    judged.notes += _told_passed(place, [row for row in there if row.present])
    if doubt := _doubt(
        place, rest, others=seen + _present(there) + sum(map(_present, away.values())), there=bool(there)
    ):
        judged.notes.append(_doubted(f"{doubt} (a drive that is not mounted, or in part?)", place))
        judged.removed = there
    judged.notes += _told_away(place, away)
    return judged


def believe(place: Place, rows: Sequence[Known]) -> Judgement:
    """All of these are out of results, as a person says, but for what drives hold that were seen below the place."""
    own = place.prefix.rstrip("/")
    inner = {one for one in place.mounts if one != own and f"{one}/".startswith(place.prefix)}
    removed, away = list[Known](), dict[str, list[Known]]()
    for row in rows:
        drives = [one for one in _upwards(row.path.rpartition("/")[0]) if one in inner]
        left = next((one for one in reversed(drives) if holds_no_drive(place.root / one)), None)
        (removed if left is None else away.setdefault(left, [])).append(row)
    return Judgement(removed, _told_away(place, away), frozenset(away))


def _present(rows: Sequence[Known]) -> int:
    return sum(row.present for row in rows)


def _told_passed(place: Place, rows: Sequence[Known]) -> list[str]:
    """Why files that are on the disk are not looked at any more."""
    linked = sum(_is_linked(place.root, row.path) for row in rows)
    where, said = place.root / place.prefix, list[str]()
    if linked:
        said.append(
            f"{counted(linked, 'known file', 'is', 'are')} behind a link now in {where}: links are not followed. "
            "Out of results, until the files lie there again, or the folder that holds them is indexed"
        )
    if hidden := len(rows) - linked:
        said.append(
            f"{counted(hidden, 'known file', 'is', 'are')} passed over now in {where}, by "
            "--exclude, index.exclude or a .rebusignore: out of results, until a run does not pass over them"
        )
    return said


def _is_linked(root: Path, path: str) -> bool:
    return any(os.path.islink(root / one) for one in _upwards(path))


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
        f"{doubt}: nothing was marked removed. If you removed them, "
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
        if one in place.mounts and holds_no_drive(place.root / one):
            return one
    nearest = next((one for one in above if os.path.lexists(place.root / one)), None)
    return nearest if nearest and _is_empty(place.root / nearest) else None


def _is_empty(folder: Path) -> bool:
    try:
        return not os.listdir(folder)
    except OSError:  # absent, a file, or not to be read
        return False


def _upwards(folder: str) -> Iterator[str]:
    """A folder, or a file, and all above it, without the root."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


def _told_away(place: Place, away: Mapping[str, Sequence[Known]]) -> list[str]:
    """What is kept: for places that hold something, a stray file perhaps, and for those that are absent or empty."""
    count = {folder: _present(rows) for folder, rows in sorted(away.items())}
    stray = {folder: n for folder, n in count.items() if n and os.path.lexists(place.root / folder)}
    stray = {folder: n for folder, n in stray.items() if not _is_empty(place.root / folder)}
    bare = {folder: n for folder, n in count.items() if n and folder not in stray}
    told = (bare, "is", "are", "absent or empty now"), (stray, "has", "have", "no drive mounted now")
    return [
        _told(place.root, some, f"{one if len(some) == 1 else more} {how}") for some, one, more, how in told if some
    ]


def _told(root: Path, count: Mapping[str, int], how: str) -> str:
    folders = [root / folder for folder in count]
    more = len(folders) - _NAMED
    names = ", ".join(map(str, folders[:_NAMED])) + (f" and {counted(more, 'more folder')}" if more > 0 else "")
    command = " ".join(shlex.quote(str(folder)) for folder in folders)  # each by its name: one above keeps its drives
    return (
        f"{names} {how}, and held {counted(sum(count.values()), 'file')} "
        "(a drive that is not mounted?): nothing of that was marked removed. If you removed them, say so: "
        f"`rebus index --gone {command}`"
    )
