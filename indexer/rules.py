"""What is passed over: patterns of the settings and of ignore files, as git reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

from engine.errors import InvalidInput, MediaError
from engine.media.files import read_text

IGNORE_FILE = ".rebusignore"
_LARGEST_IGNORE_FILE = 1 << 20


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
    """The rules of a setting. Raises InvalidInput for a pattern that is none."""
    return Rules((("", _patterns(exclude, "index.exclude")),)) if exclude else Rules()


def with_ignore_file(root: Path, folder: Path, rules: Rules) -> Rules:
    """The rules with those of the folder's ignore file, when it has one that can be read."""
    try:
        lines = read_text(folder / IGNORE_FILE, _LARGEST_IGNORE_FILE).splitlines()
    except MediaError:
        return rules
    base = "" if folder == root else folder.relative_to(root).as_posix() + "/"
    return Rules((*rules.levels, (base, _patterns(lines, str(folder / IGNORE_FILE)))))


def _patterns(lines: Sequence[str], source: str) -> pathspec.GitIgnoreSpec:
    try:
        return pathspec.GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InvalidInput(f"{source} holds a pattern that cannot be read: {error}") from None
