"""Where a recipe's pictures and words come from. What is held out to measure on is never among what is learned from."""

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import InvalidInput
from indexer.jobs import Tell
from indexer.samples import draw_library
from indexer.starter.recipe import Source, leaves_folder

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Example:
    """A picture's file, what is said of it, and where it is from."""

    path: Path
    texts: tuple[str, ...]
    source: str

    @property
    def may_mirror(self) -> bool:
        """Whether nothing that is said of it names a side."""
        return not any(_SIDES.search(text) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Examples:
    """Those to learn from, and those of the same source that nothing learns from."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]


def examples(source: Source, data: Path, work: Path, tell: Tell) -> Examples:
    """What a source has, always in the same order. Raises InvalidInput where it is not there or has nothing."""
    if source.kind == "icons":
        found = _icons(source, data / source.folder)
    elif source.kind == "samples":
        folder = draw_library(
            work / f"samples-{source.count}-{source.seed}",
            count=source.count,
            seed=source.seed,
            progress=lambda done, total: tell("drawing pictures", done, total),
        )
        found = _captioned(source, folder)
    else:
        found = _captioned(source, data / source.folder)
    if not found.train:
        kept = f" beside the {len(found.held_out):,} that are held out" if found.held_out else ""
        raise InvalidInput(f"{source.name} has no pictures to learn from in {data / source.folder}{kept}")
    missing = [one.path for one in found.train if not one.path.is_file()]
    if missing:
        raise InvalidInput(
            f"{len(missing):,} of the {len(found.train):,} pictures of {source.name} are not there, such as "
            f"{missing[0]}: check --data"
        )
    return found


def _captioned(source: Source, folder: Path) -> Examples:
    """images/ and captions.jsonl, of lines {"image", "split", "en"}: train is learned from, val is held out."""
    file = folder / "captions.jsonl"
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found = [
            (row["split"], Example(folder / "images" / _inside(row["image"]), _said(row["en"]), source.name))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{file} holds no captions that can be read ({error}): check --data") from None
    train, held = (tuple(one for split, one in found if split == name) for name in ("train", "val"))
    return Examples(train, held)


def _inside(name: str) -> str:
    if leaves_folder(name):
        raise ValueError(f"{name[:80]!r} leaves the folder")
    return name


def _said(texts: Any) -> tuple[str, ...]:
    """A picture's captions. Raises ValueError for what is none."""
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{str(texts)[:80]} is no list of captions")
    "".join(texts).encode()  # half a character cannot be learned from
    return tuple(texts)


def _icons(source: Source, folder: Path) -> Examples:
    """SVG files, each with a JSON beside it that has its tags. Held out are so many, chosen by the seed."""
    found = []
    for path in sorted(folder.glob("*.svg")):
        found.append(Example(path, tuple(_tag_texts(path.stem, _tags(path.with_suffix(".json")))), source.name))
    random.Random(source.seed).shuffle(found)
    return Examples(tuple(found[source.held_out :]), tuple(found[: source.held_out]))


def _tags(file: Path) -> list[str]:
    """The strings under "tags" in an icon's JSON. Raises InvalidInput where there are none to be read."""
    try:
        tags = json.loads(file.read_text(encoding="utf-8"))["tags"]
        if not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
            raise ValueError("its tags are no list of words")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f'{file} does not tell an icon\'s words as {{"tags": [...]}} ({error!r}): mend it') from None
    return tags


def _tag_texts(name: str, tags: Sequence[str]) -> Iterator[str]:
    """An icon's name, its tags together, and each tag by itself; what is searched for first comes second."""
    words = name.replace("-", " ")
    yield f"{words} icon"
    yield ", ".join(tags) or words
    yield from tags[:6]
