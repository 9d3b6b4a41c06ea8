"""The fonts of the machine: resvg draws words only in fonts that it is told by name, and Arial is not everywhere."""

import os
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from PIL import ImageFont

_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "$WINDIR/Fonts",
    "$LOCALAPPDATA/Microsoft/Windows/Fonts",
)
_ENDINGS = frozenset({".ttf", ".ttc", ".otf", ".otc"})
_MOST = 5000  # files looked at, a quarter of a millisecond each
_KINDS = {  # what a drawing may ask for: the font that resvg takes by itself, and what the names of others like it hold
    "serif_family": ("Times New Roman", "serif"),
    "sans_serif_family": ("Arial", "sans"),
    "monospace_family": ("Courier New", "mono"),
}


@cache
def font_families() -> dict[str, str]:
    """For each kind of font the name of an installed one, of another kind where need be; {} when none is installed.

    Words in a font that is not installed are drawn in the one of `serif_family`.
    """
    names = set(islice(_installed(), _MOST))
    if not names:
        return {}
    return {
        kind: min(names, key=lambda name: (name != usual, hint not in name.lower(), len(name), name))
        for kind, (usual, hint) in _KINDS.items()
    }


def _installed() -> Iterator[str]:
    """The families of the font files of this machine, of some more than once."""
    for folder in _FOLDERS:
        for parent, folders, files in os.walk(Path(os.path.expandvars(folder)).expanduser()):
            folders.sort()
            for file in sorted(files):
                if Path(file).suffix.lower() not in _ENDINGS:
                    continue
                try:
                    name = ImageFont.truetype(os.path.join(parent, file)).getname()[0]
                except (OSError, ValueError):  # damaged, or no font
                    continue
                if name:
                    yield name
