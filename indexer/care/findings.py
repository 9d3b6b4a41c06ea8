"""What an examination finds."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """ok: as it should be. note: nothing is lost, but a person may want to act. problem: something does not work."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. repair: what to do about it; mend: does it, where that is safe.

    stale: after mending, what is served must be built anew.
    """

    level: Level
    what: str
    repair: str = ""
    mend: Callable[[], None] | None = None
    stale: bool = False


def ok(what: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, what)


def note(what: str, repair: str, mend: Callable[[], None] | None = None) -> Finding:
    """Something a person may want to know or to do."""
    return Finding(Level.NOTE, what, repair, mend)


def problem(what: str, repair: str, mend: Callable[[], None] | None = None, stale: bool = False) -> Finding:
    """Something that does not work as it should."""
    return Finding(Level.PROBLEM, what, repair, mend, stale)
