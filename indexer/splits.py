"""Which pictures are trained on and which are held out: as the captions say, else by a hash of the content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import xxhash
from sqlalchemy.orm import aliased

from engine.catalog import Caption, Catalog, Item, Root, chunks
from engine.config import TrainSettings
from engine.errors import InvalidInput

MINIMUM = 32  # pictures below which nothing can be learned
SPLITS = ("val", "test")  # what can be measured on
_VALIDATION = frozenset(("val", "valid", "validation", "dev"))


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture with its captions: ids, place and words. content: what tells copies of one picture."""

    id: int
    root: str
    path: str
    content: str
    split: str | None
    caption_ids: tuple[int, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures to train on, and pictures held out; they share no content."""

    train: tuple[Captioned, ...]
    held_out: tuple[Captioned, ...]


def captioned(catalog: Catalog, lang: str) -> list[Captioned]:
    """Every present picture that has captions in a language, by id."""
    parent = aliased(Item)
    query = sa.select(Caption.owner_id, Caption.id, Caption.text).join(Item, Item.id == Caption.id)
    query = query.join(parent, parent.id == Caption.owner_id).order_by(Caption.owner_id, Caption.id)
    query = query.where(Caption.lang == lang, Item.removed_at.is_(None), parent.removed_at.is_(None))
    words: dict[int, list[tuple[int, str]]] = {}
    with catalog.session() as session:
        for owner, caption_id, text in session.execute(query):
            words.setdefault(owner, []).append((caption_id, text))
    return pictures(catalog, words)


def pictures(catalog: Catalog, words: Mapping[int, Sequence[tuple[int, str]]]) -> list[Captioned]:
    """Items by id, each with these captions (id, text) of it, if any."""
    found = []
    with catalog.session() as session:
        for ids in chunks(list(words), 500):
            rows = sa.select(Item, Root.path).join(Root, Root.id == Item.root_id).where(Item.id.in_(ids))
            for item, root in session.execute(rows):
                content = item.content_hash or f"{item.size}:{item.path.rsplit('/', 1)[-1]}"
                caption_ids, texts = tuple(i for i, _ in words[item.id]), tuple(text for _, text in words[item.id])
                found.append(Captioned(item.id, root, item.path, content, item.split, caption_ids, texts))
    return sorted(found, key=lambda picture: picture.id)


def split(pictures: Sequence[Captioned], settings: TrainSettings, minimum: int = MINIMUM) -> Split:
    """Divide by the split the captions name (train; val; others, such as test, take no part), else by hash.

    Where they name train alone, a part of that is held out by hash. Raises InvalidInput when there are fewer than
    `minimum` pictures to learn from, or none to hold out.
    """
    sides = _sides(pictures, settings)
    held = tuple(picture for picture, side in zip(pictures, sides, strict=True) if side == "val")
    contents = {picture.content for picture in held}
    known = [picture for picture, side in zip(pictures, sides, strict=True) if side == "train"]
    train = tuple(picture for picture in known if picture.content not in contents)
    if len(train) < minimum or not held:
        raise InvalidInput(
            f"{len(train)} captioned pictures to train on and {len(held)} held out: at least {minimum} and 1 "
            "are needed. Add captions (NAME.txt beside NAME.jpg, or captions.jsonl) and run `rebus index` again"
        )
    return Split(train, held)


def held_out(pictures: Sequence[Captioned], settings: TrainSettings, name: str = "val") -> tuple[Captioned, ...]:
    """The pictures of one split: val, which training judges by, or another that the captions name, such as test."""
    sides = _sides(pictures, settings)
    return tuple(picture for picture, side in zip(pictures, sides, strict=True) if side == name)


def _sides(pictures: Sequence[Captioned], settings: TrainSettings) -> list[str]:
    """The side of each picture: as named, else by hash; where none would be val, by hash of those to train on."""
    named = [(picture.split or "").lower() for picture in pictures]
    sides = [
        "val" if name in _VALIDATION else name or _by_hash(p, settings) for p, name in zip(pictures, named, strict=True)
    ]
    if "val" not in sides:
        sides = [_by_hash(p, settings) if side == "train" else side for p, side in zip(pictures, sides, strict=True)]
    if "val" not in sides and sides.count("train") > 1:  # few, but one
        learned = [row for row, side in enumerate(sides) if side == "train"]
        sides[min(learned, key=lambda row: (_fraction(pictures[row]), pictures[row].id))] = "val"
    return sides


def _by_hash(picture: Captioned, settings: TrainSettings) -> str:
    return "val" if _fraction(picture) < settings.held_out else "train"


def _fraction(picture: Captioned) -> float:
    """A number in 0..1 that depends on the picture alone: it never changes side."""
    return xxhash.xxh3_64_intdigest(picture.content) / 2**64
