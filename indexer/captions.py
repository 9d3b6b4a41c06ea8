"""Make the words of items what their sources say: sidecars at a scan, the files themselves when they are read."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
import xxhash
from sqlalchemy.orm import Session

from engine.catalog import Caption, FactsRow, Item, Keyword
from engine.filters import keyword_form
from engine.media import Facts
from engine.types import Modality
from indexer.changes import forget_content, insert_items, renew_embeddings
from indexer.found import Folder, Former, FoundFile
from indexer.sidecars import CaptionReader
from indexer.sidecars.names import is_own
from indexer.sidecars.said import NO_FACTS
from indexer.sidecars.tables import is_of_table

_GIVEN = "//"  # in a stamp, between the sidecars and what they gave: no path within a root holds it
INSIDE = frozenset(("exif", "iptc", "xmp", "pdf", "film", "sound", "ocr", "text"))  # sources within the file itself


@dataclass(frozen=True, slots=True)
class Words:
    """Some words of a file. owner_id: what they describe, the file's item or a frame of it; None: themselves."""

    text: str
    lang: str
    source: str
    owner_id: int | None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """The file that words belong to."""

    id: int
    root_id: int
    path: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Described:
    """A file whose sidecars are to be read. stamp: what the catalog has of them.

    told_as: where the catalog has it that tables may know the file. former: what speaks of that place now, None when
    another file lies there. away: the place is on a drive that is away: what tables said stays, until it is back or a
    table here names the file.
    """

    id: int
    folder: Folder
    file: FoundFile
    stamp: str = ""
    told_as: str | None = None
    former: Former | None = None
    away: bool = False


def sync_sidecars(session: Session, root_id: int, files: Sequence[Described], reader: CaptionReader) -> list[int]:
    """Make captions, facts and split of files what their sidecars say. Ids of what is to be embedded:

    words, and files whose facts were withdrawn, which are read again.
    """
    wanted: list[tuple[Owner, list[Words]]] = []
    changes: list[dict[str, object]] = []
    touched: list[int] = []
    before_of = words_of(session, [one.id for one in files if one.away], inside=False)
    for one in files:
        said, before = reader.read(one.folder, one.file, one.former), given(one.stamp)
        stays = one.away and not said.by_name
        told_as = one.told_as if stays or (one.former and (said.followed or not said.by_name)) else None
        if not reader.could_read(one.folder, one.file, one.former):
            stamp = without_sources(one.stamp)
        elif stays and said.facts == NO_FACTS:
            stamp = reader.stamp(one.folder, one.file) + without_sources(one.stamp)
        else:
            stamp = stamped(reader.stamp(one.folder, one.file, one.former if told_as else None), said.facts)
            if before and before != given(stamp):  # what it says no more must go, what the file itself says come back
                forget_content(session, one.id)
                touched.append(one.id)
        if stamp != one.stamp or said.split or told_as != one.told_as:
            split = {} if stays and not said.split else {"split": said.split}
            changes.append({"id": one.id, "stamp": stamp, "told_as": told_as, **split})
        words = [Words(text.text, text.lang, text.source, one.id) for text in said.texts]
        own = reader.has_own(one.folder, one.file) or _had_own(one.stamp)
        words += _kept(before_of.get(one.id, {}), own) if stays else []
        wanted.append((Owner(one.id, root_id, one.file.path, one.file.mtime_ns), words))
        save_facts(session, one.id, said.facts, said.keywords, over=True)
    if changes:
        session.execute(sa.update(Item), changes)
    return touched + sync_words(session, wanted, inside=False)


def _kept(words: Mapping[Words, sa.Row[Any]], own: bool) -> list[Words]:
    """Those words that are present. own: of a file that has, or had, sidecars beside it, those from tables."""
    there = [one for one, row in words.items() if row.removed_at is None]
    return [one for one in there if is_of_table(one.source) or not own]


def _had_own(stamp: str) -> bool:
    """Whether a sidecar of its own lay beside the file when its stamp was made."""
    here = sources(stamp).partition("~")[0]
    return any(is_own(mark.rsplit(":", 2)[0]) for mark in here.split(";"))


def sources(stamp: str) -> str:
    """The part of an item's stamp that tells its sidecars' sizes and times."""
    return stamp.partition(_GIVEN)[0]


def given(stamp: str) -> str:
    """The part of an item's stamp that tells which facts its sidecars gave; empty when they gave none."""
    return stamp.partition(_GIVEN)[2]


def without_sources(stamp: str) -> str:
    """A stamp that has the sidecars read again, and tells still which facts they gave."""
    return f"{_GIVEN}{given(stamp)}" if given(stamp) else ""


def stamped(sources: str, facts: Facts) -> str:
    """An item's stamp: of its sidecars, and a hash of the facts that they give."""
    return sources if facts == NO_FACTS else f"{sources}{_GIVEN}{xxhash.xxh3_64_hexdigest(repr(facts))}"


def sync_words(session: Session, wanted: Sequence[tuple[Owner, list[Words]]], *, inside: bool) -> list[int]:
    """Add, revive and remove text items; what comes back keeps its id. Ids of the items that may need embedding.

    inside: whether these are the words inside the files, or those of their sidecars; the others stay as they are.
    """
    have = words_of(session, [owner.id for owner, _ in wanted], inside)
    added: list[tuple[Owner, Words]] = []
    revived: list[int] = []
    gone: list[int] = []
    for owner, words in wanted:
        there = have.get(owner.id, {})
        for one in dict.fromkeys(words):
            row = there.pop(one, None)
            if row is None:
                added.append((owner, one))
            elif row.removed_at is not None:
                revived.append(row.id)
        gone += [row.id for row in there.values() if row.removed_at is None]
    if revived:
        session.execute(sa.update(Item).where(Item.id.in_(revived)).values(removed_at=None))
        renew_embeddings(session, revived)
    if gone:
        session.execute(sa.update(Item).where(Item.id.in_(gone)).values(removed_at=time.time()))
    return revived + _add(session, added)


def _add(session: Session, added: Sequence[tuple[Owner, Words]]) -> list[int]:
    if not added:
        return []
    ids = insert_items(session, [_text_item(owner, words) for owner, words in added])
    captions = [
        {"id": i, "owner_id": words.owner_id or i, "text": words.text, "lang": words.lang, "source": words.source}
        for i, (_, words) in zip(ids, added, strict=True)
    ]
    session.execute(sa.insert(Caption), captions)
    return ids


def save_facts(session: Session, item_id: int, facts: Facts, keywords: Sequence[str], *, over: bool) -> None:
    """Keep what is said of a file; over: these facts win against those that are there."""
    if facts == Facts() and not keywords:
        return
    values = {name: value for name, value in asdict(facts).items() if name != "keywords" and value is not None}
    row = session.get(FactsRow, item_id)
    if values and row is None:
        session.add(FactsRow(item_id=item_id, **values))
    elif row is not None:
        for name, value in values.items():
            if over or getattr(row, name) is None:
                setattr(row, name, value)
    words = dict.fromkeys(word for word in map(keyword_form, (*facts.keywords, *keywords)) if word)
    if words:
        known = set(session.scalars(sa.select(Keyword.word).where(Keyword.item_id == item_id)))
        session.add_all(Keyword(item_id=item_id, word=word) for word in words if word not in known)


def words_of(session: Session, owners: Sequence[int], inside: bool) -> dict[int, dict[Words, sa.Row[Any]]]:
    """The words of files, by file and by what they say, removed ones too: rows with id and removed_at."""
    columns = Item.id, Item.parent_id, Item.removed_at, Item.position, Caption
    query = sa.select(*columns).join(Caption, Caption.id == Item.id).where(Item.parent_id.in_(owners))
    found: dict[int, dict[Words, sa.Row[Any]]] = {}
    for row in session.execute(query.order_by(Item.id)):
        caption = row.Caption
        if (caption.source in INSIDE) == inside:
            owner = None if caption.owner_id == caption.id else caption.owner_id
            key = Words(caption.text, caption.lang, caption.source, owner, row.position)
            found.setdefault(row.parent_id, {})[key] = row
    return found


def _text_item(owner: Owner, words: Words) -> dict[str, Any]:
    return {
        "root_id": owner.root_id,
        "parent_id": owner.id,
        "modality": Modality.TEXT,
        "path": owner.path,
        "folder": owner.path.rpartition("/")[0],
        "position": words.position,
        "size": len(words.text.encode()),
        "mtime_ns": owner.mtime_ns,
    }
