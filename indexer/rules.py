"""What is passed over: patterns of the settings and of ignore files, as git reads them."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pathspec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from engine.errors import InvalidInput, MediaError
from engine.media.files import read_text

IGNORE_FILE = ".rebusignore"
_LARGEST_IGNORE_FILE = 1 << 16  # bytes
_MOST_LINES, _LONGEST_LINE, _MOST_FOLDERS = 1000, 500, 2  # lines, characters, and `**` in one line
_STAR = "[^/]*"  # what pathspec makes of `*`, and of nothing else
_UP_TO_NEXT = re.compile(
    r"\[\^/\]\*((?:\\.|\[(?!\^/\]\*)\^?\]?(?:\\\\|[^\]\\])*\]|[^\\\[/(])+)(?=\[\^/\]\*)", re.DOTALL
)
_CLASS = re.compile(r"\\.|\[(\^?)(\]?(?:\\\\|[^\]\\])*)\]", re.DOTALL)
_NAMED_CLASS = re.compile(r"\[\[[:.=]")
HINT = "mend it: what is in this folder is passed over until then, and what was indexed of it stays"


class _Pattern(GitIgnoreSpecPattern):
    """A pattern of git's whose matching never takes longer than length of pattern times length of name.

    What stands between two stars of a name may be taken where it first occurs, as `fnmatch` has it: an atomic group.
    """

    __slots__ = ()

    @classmethod
    def pattern_to_regex(cls, pattern: Any) -> tuple[Any, bool | None]:
        """The regular expression and whether it includes. Raises ValueError for a pattern that asks for too much."""
        if len(pattern) > _LONGEST_LINE:
            raise ValueError(f"a line of {len(pattern):,} characters, over the limit of {_LONGEST_LINE}")
        if _NAMED_CLASS.search(pattern):
            raise ValueError(f"classes by name, as in {pattern!r}, are not known: write [a-z] or the like")
        regex, include = super().pattern_to_regex(pattern)
        if not isinstance(regex, str):
            return regex, include
        if regex.count("(?:.+/)?") + regex.count("(?:/.+)?") > _MOST_FOLDERS:
            raise ValueError(f"more than {_MOST_FOLDERS} ** in {pattern!r}")
        while _STAR + _STAR in regex:
            regex = regex.replace(_STAR + _STAR, _STAR)
        return _CLASS.sub(_quoted, _UP_TO_NEXT.sub(r"(?>[^/]*?\1)", regex)), include


def _quoted(found: re.Match[str]) -> str:
    """A class of characters in which none stands for more than itself: Python warns of what it may mean one day."""
    turned, inside = found.groups()
    if inside is None:
        return found[0]
    inside = re.sub(r"[\[&|~]|^-(?=-)", r"\\\g<0>", inside)
    inside = re.sub(r"(?<=[^\\])--", r"-\\-", inside)
    return f"[{turned}{inside}]"


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns to pass over, of the settings and of one ignore file a level, with the folder each is relative to."""

    levels: tuple[tuple[str, pathspec.GitIgnoreSpec], ...] = ()

    def match(self, path: str, *, folder: bool) -> bool:
        """The innermost file that says anything of a path decides, as git does."""
        for base, spec in reversed(self.levels):
            below = path[len(base) :] + ("/" if folder else "")
            said = spec.check_file(below).include
            if said is not None:
                return said
        return False


def rules_of(exclude: Sequence[str]) -> Rules:
    """The rules of a setting. Raises InvalidInput for a pattern that is none, or asks for too much."""
    try:
        return Rules((("", _patterns(exclude)),)) if exclude else Rules()
    except ValueError as error:
        raise InvalidInput(f"index.exclude, or --exclude, cannot be used: {error}") from None


def with_ignore_file(root: Path, folder: Path, rules: Rules) -> Rules:
    """The rules with those of the folder's ignore file, when it has one.

    Raises MediaError when it cannot be used: what it was meant to hide must not be shown.
    """
    path = folder / IGNORE_FILE
    try:
        if not os.path.lexists(path) or (path.is_file() and path.stat().st_size == 0):
            return rules
        patterns = _patterns(read_text(path, _LARGEST_IGNORE_FILE).splitlines())
    except MediaError as error:
        raise MediaError("scan", error.reason, HINT) from None
    except (OSError, ValueError) as error:
        raise MediaError("scan", f"it cannot be used: {error}", HINT) from None
    base = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    return Rules((*rules.levels, (base, patterns)))


def _patterns(lines: Sequence[str]) -> pathspec.GitIgnoreSpec:
    """Raises ValueError for a pattern that is none, or asks for too much."""
    if len(lines) > _MOST_LINES:
        raise ValueError(f"{len(lines):,} lines, over the limit of {_MOST_LINES:,}")
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines, _Pattern, backend="simple")
    except re.error as error:
        raise ValueError(f"{error} in {error.pattern!r}") from None
