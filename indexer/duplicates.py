"""Groups of near-duplicates in the catalog: exact by content, near by perceptual hash and embedding.

Pictures are looked at in the order of their ids, and each joins the first picture alike that stands for a group
already, else stands for one itself; an exact copy goes where the first of its kind goes. So every member was compared
with the picture that its group is named after, and no chain of small steps glues unlike pictures together, as
connected components would. The outcome depends on the library alone: a later run settles only what is new, gone or
touched by either, and ends where a first run would.

Near means pictures, not what is made to look alike: pages of documents share a letterhead and differ in words that no
hash sees (of invoices of one template, 81 % of the pairs lie within 6 bits), and hashes of flat pictures say nothing.
Those, and moments of films, are grouped with exact copies only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Catalog, Embedding, EncoderRow, Item
from engine.config import Config, IndexSettings
from engine.store import EmbeddingStore, StoredRows
from engine.types import I64, U64, Bool, Modality
from engine.versions import store_of
from indexer.jobs import Tell
from indexer.near_hashes import NearHashes

_RULE = 1  # raised when the rule changes: everything is then grouped anew
_GROUPED = (Modality.IMAGE, Modality.VIDEO)
_LEAST_BITS = 24  # a hash has 32 of 64 bits set, by its median; fewer tell of a flat picture
_BLOCK, _COMPARED = 2048, 256  # pictures settled at once; vectors read at once to compare with one
_READ = 20_000
_NONE = 0  # no group


def group_duplicates(catalog: Catalog, config: Config, encoder: EncoderRow, tell: Tell) -> int:
    """Bring `group_id` up to date for all that this encoder has embedded; return how many items changed theirs.

    The library's write lock is held. All is written in one transaction, with how far it went: a kill leaves what was.
    """
    wanted = {"rule": _RULE, "bits": config.index.near_bits, "cosine": config.index.near_cosine}
    with catalog.session() as session:
        row = session.get_one(EncoderRow, encoder.id)
        before = row.grouping or {}
        since = before["upto"] if {**before, "upto": 0} == {**wanted, "upto": 0} else 0
        upto = session.scalar(sa.select(sa.func.max(Embedding.id)).where(Embedding.encoder_id == row.id)) or 0
        gone = _gone(session, row.id)
        if not gone and since and not _any_new(session, row.id, since):
            row.grouping = {**wanted, "upto": upto}
            return 0
        store = store_of(catalog.home, row, row.generation)
        pictures = _load(session, row.id, store)
    groups = _Grouping(pictures, config.index, pictures.dirty(since, gone), tell).groups()
    changed = np.flatnonzero(groups != pictures.group)
    values = [{"i": i, "g": None} for i in gone]
    values += [
        {"i": i, "g": g or None}
        for i, g in zip(pictures.ids[changed].tolist(), groups[changed].tolist(), strict=True)
    ]  # fmt: skip
    with catalog.session() as session:
        if values:
            items: Any = Item.__table__
            change = sa.update(items).where(items.c.id == sa.bindparam("i")).values(group_id=sa.bindparam("g"))
            session.connection().execute(change, values)
        session.execute(sa.update(EncoderRow).values(grouping=sa.null()))  # groups by another encoder are no more
        session.get_one(EncoderRow, encoder.id).grouping = {**wanted, "upto": upto}
    return len(values)


@dataclass(frozen=True, slots=True)
class _Pictures:
    """What can be grouped, in the order of ids: arrays (n,).

    group: as the catalog has it. first: the position of the first of its exact copies. near: whether it may be a near
    duplicate of others. embedded: its embedding's id.
    """

    ids: I64
    embedded: I64
    hashes: U64
    near: Bool
    group: I64
    first: I64
    vectors: StoredRows

    def dirty(self, since: int, gone: dict[int, int]) -> Bool:
        """Those whose group must be found anew: the new ones, and whoever shared a group with them or with the gone."""
        if not since:
            return np.ones(len(self.ids), np.bool_)
        new = self.embedded > since
        touched = np.union1d(self.group[new], np.array(list(gone.values()), np.int64))
        out: Bool = new | (np.isin(self.group, touched) & (self.group != _NONE))
        return out


def _any_new(session: Session, encoder_id: int, since: int) -> bool:
    query = sa.select(Embedding.id).join(Item, Item.id == Embedding.item_id)
    query = query.where(Embedding.encoder_id == encoder_id, Embedding.id > since, Item.modality.in_(_GROUPED))
    return session.execute(query.limit(1)).first() is not None


def _gone(session: Session, encoder_id: int) -> dict[int, int]:
    """The groups of items, by item, that are no longer there, or whose changed content has no embedding."""
    query = sa.select(Item.id, Item.group_id).where(Item.group_id.is_not(None))
    query = query.outerjoin(Embedding, (Embedding.item_id == Item.id) & (Embedding.encoder_id == encoder_id))
    query = query.where(sa.or_(Item.removed_at.is_not(None), Embedding.id.is_(None)))
    return {row.id: row.group_id for row in session.execute(query)}


def _load(session: Session, encoder_id: int, store: EmbeddingStore) -> _Pictures:
    document = sa.func.lower(Item.path).like("%.pdf")
    query = sa.select(
        Item.id, Embedding.id, Item.phash, sa.and_(Item.modality == Modality.IMAGE, sa.not_(document)), Item.group_id,
        Embedding.shard, Embedding.row, Item.content_hash, Item.position,
    )  # fmt: skip
    query = query.join(Embedding, Embedding.item_id == Item.id).order_by(Item.id)
    query = query.where(Embedding.encoder_id == encoder_id, Item.removed_at.is_(None), Item.modality.in_(_GROUPED))
    columns, hashes, first = [np.empty((0, 6), np.int64)], [np.empty(0, np.uint64)], list[int]()
    kinds: dict[tuple[str, int], int] = {}
    for part in session.execute(query.execution_options(yield_per=_READ)).partitions():
        for row in part:
            at = len(first)
            first.append(kinds.setdefault((row.content_hash, row.position or 0), at) if row.content_hash else at)
        numbers = [(i, e, near and phash is not None, g or _NONE, s, r) for i, e, phash, near, g, s, r, *_ in part]
        columns.append(np.array(numbers, np.int64))
        hashes.append(np.array([int(row.phash or "0", 16) for row in part], np.uint64))
    ids, embedded, near, group, shards, rows = np.concatenate(columns).T
    words = np.concatenate(hashes)
    near = near.astype(np.bool_) & (np.bitwise_count(words) >= _LEAST_BITS)
    return _Pictures(ids, embedded, words, near, group, np.array(first, np.int64), StoredRows(store, shards, rows))


class _Grouping:
    """Finds for each picture the one that stands for its group, `leader`: its own position when it stands alone.

    Positions are in the order of ids. Whoever is neither dirty nor settled is untouched: as an earlier run left it.
    Settled pictures always lie before all dirty ones, so that what a picture compares itself with is final.
    """

    def __init__(self, pictures: _Pictures, settings: IndexSettings, dirty: Bool, tell: Tell) -> None:
        self.pictures, self.settings, self.tell = pictures, settings, tell
        self.places = np.arange(len(pictures.ids))
        self.kinds = pictures.first == self.places  # one of each kind of exact copies is compared; the rest follow it
        at = np.searchsorted(pictures.ids, pictures.group)
        known = np.isin(pictures.group, pictures.ids)
        self.leader: I64 = np.where(known, np.minimum(at, len(at) - 1), self.places)
        lost = ~self.kinds[self.leader] | (self.leader[self.leader] != self.leader)
        lost |= ~known & (pictures.group != _NONE)
        self.dirty = self.kinds & (dirty | lost)
        self.untouched = self.kinds & ~self.dirty
        self.total = int(self.dirty.sum())

    def groups(self) -> I64:
        """Each picture's group (n,): the id of its leader, or 0 when nothing is like it."""
        while len(block := np.flatnonzero(self.dirty)[:_BLOCK]):
            self._settle(block)
            self._spread(block)
            self.tell("grouping near-duplicates", self.total - int(self.dirty.sum()), self.total)
        leader = self.leader[self.pictures.first]
        alone = np.bincount(leader, minlength=len(leader))[leader] < 2
        return np.where(alone, _NONE, self.pictures.ids[leader])

    def _settle(self, block: I64) -> None:
        """Find the leaders of the first dirty pictures: among those before the block's, then among its own."""
        self.leader[block] = block
        leads = self.kinds & ~self.dirty & (self.leader == self.places)
        leads[block[-1] :] = False
        self._join(block, np.flatnonzero(leads))
        self.dirty[block] = False
        alone = block[self.leader[block] == block]  # the others lead nobody: thousands alike are compared with few
        self._join(block[self.leader[block] > block[0]], alone)

    def _join(self, some: I64, leads: I64) -> None:
        """Let each of `some`, ascending, join the first of these leaders that is alike and before its own."""
        for position, others in self._candidates(some, leads, before=True):
            standing = others[(self.leader[others] == others) & (others < self.leader[position])]
            self.leader[position] = next(self._alike(position, standing), self.leader[position])

    def _spread(self, block: I64) -> None:
        """Whoever stood alone, or joined a later picture, may belong to a new leader of this block: settle it too."""
        leads = block[self.leader[block] == block]
        later = self.untouched & (self.leader > block[0])
        later[: block[0]] = False
        if not later.any():
            return
        found = set[int]()
        for position, others in self._candidates(leads, np.flatnonzero(later), before=False):
            found.update(self._alike(position, others[self.leader[others] > position]))
        if found:
            again = np.isin(self.leader, list(found)) & self.untouched  # with those that it led
            again[list(found)] = True
            again[block[block > min(found)]] = True
            self.dirty |= again
            self.untouched &= ~again
            self.total = max(self.total, int(self.dirty.sum()))

    def _candidates(self, some: I64, others: I64, *, before: bool) -> Iterator[tuple[int, I64]]:
        """Each of `some`, ascending, with those of `others` before or after it whose hashes are near."""
        some, others = some[self.pictures.near[some]], others[self.pictures.near[others]]
        hashes = self.pictures.hashes
        pairs = [np.empty(0, np.int64)]
        for a, b in NearHashes(hashes[others], self.settings.near_bits).pairs(hashes[some]):
            right = others[b] < some[a] if before else others[b] > some[a]
            pairs.append(some[a[right]] * len(hashes) + others[b[right]])
        both = np.unique(np.concatenate(pairs))
        positions, starts = np.unique(both // max(1, len(hashes)), return_index=True)
        return zip(positions.tolist(), np.split(both % max(1, len(hashes)), starts[1:]), strict=bool(len(positions)))

    def _alike(self, position: int, others: I64) -> Iterator[int]:
        """Those of the others, ascending, whose embeddings are near this picture's."""
        for start in range(0, len(others), _COMPARED):
            part = others[start : start + _COMPARED]
            vectors = self.pictures.vectors[np.append(part, position)].astype(np.float64)
            # Rounded, so that no order of summation decides.
            near = np.round(vectors[:-1] @ vectors[-1], 6) >= self.settings.near_cosine
            yield from part[near].tolist()
