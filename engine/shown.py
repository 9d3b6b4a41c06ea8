"""What is shown of an item, as `Catalog.items` reads it: plain values, since every search makes a page of them."""

from pathlib import Path
from typing import NamedTuple

from engine.types import Modality

_VISIBLE = (Modality.IMAGE, Modality.VIDEO)


class ShownItem(NamedTuple):
    """What `catalog.Item` says of one item, as far as it is shown."""

    id: int
    path: str
    modality: str = Modality.IMAGE
    parent_id: int | None = None
    position: int | None = None
    size: int = 0
    mtime_ns: int = 0
    content_hash: str | None = None
    width: int | None = None
    height: int | None = None
    split: str | None = None
    removed_at: float | None = None


class ItemView(NamedTuple):
    """An item with what is shown of it: its root's path, its own or its first caption, and what that describes.

    owner_id: the item that the caption describes; the rest is that one's.
    """

    item: ShownItem
    root: str
    caption: str | None = None
    owner_id: int | None = None
    owner_modality: str | None = None
    owner_hash: str | None = None
    owner_position: int | None = None

    @property
    def picture_id(self) -> int | None:
        """The item to show: the item itself, or what a caption describes. None: sounds and words that stand alone."""
        if self.item.modality in _VISIBLE:
            return self.item.id
        return None if self.owner_id == self.item.id else self.owner_id or self.item.parent_id

    @property
    def thumb(self) -> str | None:
        """What a thumbnail's address needs so as to change with the picture; None when there is no thumbnail.

        The first digits of the content hash of the picture to show, and its place in the file.
        """
        if self.item.modality in _VISIBLE:
            content, position = self.item.content_hash, self.item.position
        elif self.owner_modality in _VISIBLE:
            content, position = self.owner_hash, self.owner_position
        else:
            return None
        if content is None:
            return None
        return f"{content[:8]}-{position}" if position else content[:8]

    @property
    def file(self) -> Path:
        """The absolute path of the file. Not yet checked to lie inside its root: see media.open_inside."""
        return Path(self.root) / self.item.path
