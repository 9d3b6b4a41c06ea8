"""Where a recipe's pictures and words come from. What is held out to measure on is never among what is learned from."""

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InvalidInput
from indexer.jobs import Tell
from indexer.samples import draw_library
from indexer.starter.recipe import Source

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
        raise InvalidInput(f"{source.name} has no pictures to learn from in {data / source.folder}")
    return found


def _captioned(source: Source, folder: Path) -> Examples:
    """images/ and captions.jsonl, of lines {"image", "split", "en"}: train is learned from, val is held out."""
    file = folder / "captions.jsonl"
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found = [
            (row["split"], Example(folder / "images" / row["image"], tuple(row["en"]), source.name)) for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{file} holds no captions that can be read ({error}): check --data") from None
    train, held = (tuple(one for split, one in found if split == name) for name in ("train", "val"))
    return Examples(train, held)


def _icons(source: Source, folder: Path) -> Examples:
    """SVG files, each with a JSON beside it that has its tags. Held out are so many, chosen by the seed."""
    found = []
    for path in sorted(folder.glob("*.svg")):
        tags = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["tags"]
        found.append(Example(path, tuple(_tag_texts(path.stem, tags)), source.name))
    random.Random(source.seed).shuffle(found)
    return Examples(tuple(found[source.held_out :]), tuple(found[: source.held_out]))


def _tag_texts(name: str, tags: Sequence[str]) -> Iterator[str]:
    """An icon's name, its tags together, and each tag by itself; what is searched for first comes second."""
    words = name.replace("-", " ")
    yield f"{words} icon"
    yield ", ".join(tags) or words
    yield from tags[:6]
