"""What the student reads: open_clip's byte-pair vocabulary cut short, and captions said in other ways."""

import gzip
import random
import re
from pathlib import Path

from engine.encoders.imports import open_clip

_LEAST = 2  # words of a fragment
_SPLIT = re.compile(
    r"\s+(?:on|in|at|with|near|and|while|as|under|through|by|over|behind|beside)\s+|[,.;]\s*", re.IGNORECASE
)


def write_merges(path: Path, merges: int) -> None:
    """The first merges of open_clip's vocabulary, in its own file's form, which its tokenizer reads."""
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[: merges + 1]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed:
        packed.write("\n".join(lines).encode())  # neither name nor time: the same merges are the same bytes


def varied(text: str, rng: random.Random) -> str:
    """As it is, a part of it, or with a few words left out: short queries should be understood too."""
    chance = rng.random()
    if chance < 0.5:
        return text
    if chance < 0.75:
        parts = [part for part in _SPLIT.split(text) if len(part.split()) >= _LEAST]
        return rng.choice(parts) if parts else text
    words = [word for word in text.split() if rng.random() > 0.2]
    return " ".join(words) or text
