"""The parts of a search that are no words: items, parts of items and own pictures, each with its weight."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InvalidInput, NotFound
from engine.likeness import NEGATIVE_WEIGHT, Likeness
from engine.shown import ItemView
from webui.schemas import MAX_PICTURES, MAX_TERMS, thumbnail_address
from webui.services import services

MAX_LIKES = MAX_TERMS // 2
WEIGHTS = {"more": 2.0, "normal": 1.0, "less": 0.5, "not": NEGATIVE_WEIGHT}  # what a person chooses between


@dataclass(frozen=True, slots=True)
class ItemChip:
    """An item in the search. view: its row."""

    likeness: Likeness
    view: ItemView

    @property
    def weight(self) -> float:
        """How much it counts."""
        return self.likeness.weight

    @property
    def picture(self) -> str | None:
        """The address of its thumbnail, if it has one."""
        shown, thumb = self.view.picture_id, self.view.thumb
        return thumbnail_address(shown, thumb) if shown and thumb else None

    @property
    def label(self) -> str:
        """What it is called."""
        part = "a part of " if self.likeness.region else ""
        return part + (self.view.caption or self.view.item.path)


@dataclass(frozen=True, slots=True)
class OwnChip:
    """A picture that the person gave. picture: as a data: address; number: its place among those given."""

    number: int
    weight: float
    picture: str
    label: str = "your picture"


def weight_name(weight: float) -> str:
    """A weight in a word."""
    times = f"{weight:,.3f}".rstrip("0").rstrip(".").replace("-", "−")
    return next((name for name, known in WEIGHTS.items() if known == weight), f"{times} times")


def likes_in(like: Sequence[str], unlike: Sequence[str], most: int = MAX_LIKES) -> list[Likeness]:
    """The items that an address names. Raises InvalidInput for what is none, or too many."""
    likes = [Likeness.read(text) for text in like]
    likes += [Likeness.read(text).negated for text in unlike]
    if len(likes) > most:
        raise InvalidInput(f"{len(likes)} items are too many for one search: name at most {most}")
    return list({(one.item, one.region): one for one in likes}.values())


def likes_out(likes: Sequence[Likeness]) -> dict[str, list[str]]:
    """The same as parts of an address."""
    against = [one for one in likes if one.weight == NEGATIVE_WEIGHT]  # the weight that `unlike` means
    plain = [str(Likeness(one.item, region=one.region)) for one in against]
    return {"like": [str(one) for one in likes if one not in against], "unlike": plain}


def item_chips(likes: Sequence[Likeness]) -> list[ItemChip]:
    """The chips of these items. Raises NotFound for one that is not there."""
    views = {view.item.id: view for view in services().catalog.items([one.item for one in likes])}
    for one in likes:
        if one.item not in views or views[one.item].item.removed_at is not None:
            raise NotFound(f"no item {one.item} in this library")
    return [ItemChip(one, views[one.item]) for one in likes]


def own_weights(given: Sequence[str], count: int) -> list[float]:
    """The weights of so many own pictures; 1 where none is given. Raises InvalidInput."""
    if count > MAX_PICTURES:
        raise InvalidInput(f"{count} pictures are too many for one search: give at most {MAX_PICTURES}")
    try:
        weights = [float(text) for text in given[:count]]
    except ValueError:
        raise InvalidInput("weight: a number, such as 2 or -0.5") from None
    if not all(abs(weight) <= 1000 for weight in weights):  # nan among them
        raise InvalidInput("weight: a number from -1000 to 1000")
    return weights + [1.0] * (count - len(weights))
