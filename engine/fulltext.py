"""Words looked up as they are written: in captions, words read inside files, paths and keywords.

SQLite's FTS5 and PostgreSQL's GIN indexes, made and kept right by the catalog's own schema (migration 0006). A document
is one caption, one path, or the keywords of one file; English endings and accents make no difference. What a person
types never reaches either engine's query language: only letters and digits do.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import aliased

from engine.catalog import Caption, Catalog, Item, Keyword, matches
from engine.types import F32, I64, Array, Modality, Where

KINDS = ("caption", "path", "keywords")  # what a document is, as its place modulo four says
_MOST_WORDS = 32
_ENOUGH = 1000  # documents that hold a word one must hold at least one of: the rarest words, as far as this goes
_COMMON = 2  # what more than a half of all documents hold weighs nothing in BM25, and takes long to weigh
_MOST = 5000  # documents compared; of one word that more hold, these are not the best, and all alike hold it
_K1, _B = 1.2, 0.75  # BM25 (Robertson et al. 1994), as FTS5 has it
_WORD = re.compile(r"[^\W_]+")
Places = tuple[sa.Select[Any], dict[str, str]]
_said, _words = aliased(Caption), aliased(Item)  # made once: that takes as long as a short search


@dataclass(frozen=True, slots=True)
class Found:
    """Items by the best of their documents. ids: (n,), best first; scores: (n,) BM25, higher is better.

    whole: items of which one document holds every word. kinds: what the best document of each is, as KINDS calls it.
    """

    ids: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    scores: F32 = field(default_factory=lambda: np.empty(0, np.float32))
    whole: frozenset[int] = frozenset()
    kinds: dict[int, str] = field(default_factory=dict)

    @property
    def whole_ids(self) -> I64:
        """Those of `ids` of which one document holds every word, best first."""
        return self.ids[[i in self.whole for i in self.ids.tolist()]]

    def without(self, ids: I64) -> "Found":
        """The same less some items (m,)."""
        kept = ~np.isin(self.ids, ids)
        return replace(self, ids=self.ids[kept], scores=self.scores[kept], whole=self.whole - set(ids.tolist()))

    def first(self, k: int) -> "Found":
        """The k best of these; all count still as those that hold every word."""
        return replace(self, ids=self.ids[:k], scores=self.scores[:k])


def words_in(text: str) -> list[str]:
    """The words that are looked for, each once: letters and digits alone, in lower case, without accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return list(dict.fromkeys(_WORD.findall(plain.lower())))[:_MOST_WORDS]


def find(catalog: Catalog, text: str, modality: Modality, where: Where, k: int) -> Found:
    """The k best present items of a modality that the filter keeps, for words of which any may be missing.

    Looking for images finds those that a caption describes; looking for text finds the captions themselves.
    """
    words = words_in(text)
    engine = _engine_of(catalog)
    with catalog.reading() as connection:
        counts, common = engine.counts(connection, words)
        there = sorted((word for word in words if counts[word]), key=lambda word: counts[word])
        if not there:
            return Found()
        required = _required(there, counts)
        weighed = [word for word in there if word in required or counts[word] <= common]
        places, asked = engine.places(weighed, required, [counts[word] for word in weighed])
        kept = connection.execute(_kept(places, modality, where), asked).all()
        rows = np.array([tuple(row) for row in kept], np.float64).reshape(-1, 3)  # NumPy tries much on a row as it is
        whole: Sequence[int] | None = None if len(words) == 1 else ()
        if len(words) == len(there) > 1:
            query, asked = engine.whole(words)
            whole = connection.scalars(query.limit(_MOST), asked).all()
    if where.near is not None:
        rows = rows[np.isin(rows[:, 0], catalog.ids_matching(where, modality))]
    return _best(rows, whole, k)


def holding(catalog: Catalog, text: str, modality: Modality, ids: I64) -> I64:
    """Which of some items have a document that holds every word: all of them, however many documents do."""
    words = words_in(text)
    if not words or not len(ids):
        return np.empty(0, np.int64)
    places, asked = _engine_of(catalog).whole(words)
    items = _items(places, modality).subquery()
    query = sa.select(items.c.item).where(items.c.item.in_(ids.tolist())).distinct()
    with catalog.reading() as connection:
        return np.array(list(connection.scalars(query, asked)), np.int64)


def _engine_of(catalog: Catalog) -> "type[_Sqlite] | type[_Postgres]":
    return _Postgres if catalog.engine.dialect.name == "postgresql" else _Sqlite


def _required(words: Sequence[str], counts: dict[str, int]) -> list[str]:
    """The rarest words, of which a document must hold one: as many as few enough documents hold."""
    required, total = [words[0]], counts[words[0]]
    for word in words[1:]:
        total += counts[word]
        if total > _ENOUGH:
            break
        required.append(word)
    return required


@lru_cache(maxsize=64)  # to make it takes longer than to ask it; SQLite's places are the same for all words
def _kept(places: sa.Select[Any], modality: Modality, where: Where) -> sa.Select[Any]:
    """Those of `_items` that the filter keeps."""
    return _items(places, modality).where(*matches(where, modality)).limit(_MOST)


def _items(places: sa.Select[Any], modality: Modality) -> sa.Select[Any]:
    """(item, and what `places` has) of the documents whose item is present and of the modality."""
    found = places.subquery("found")
    own = found.c.place // 4
    item = own if modality is Modality.TEXT else sa.func.coalesce(_said.owner_id, own)
    query = sa.select(item.label("item"), *found.c).select_from(found)
    query = query.outerjoin(_said, sa.and_(found.c.place % 4 == 0, _said.id == own))
    query = query.outerjoin(_words, _words.id == _said.id).join(Item, Item.id == item)
    return query.where(_words.removed_at.is_(None), Item.removed_at.is_(None), Item.modality == modality)


def _best(rows: Array, whole: Sequence[int] | None, k: int) -> Found:
    """The k best items of rows (n, 3), float64: item, place, score, higher is better.

    whole: the places that hold every word; None for all.
    """
    rows = rows[np.lexsort((rows[:, 0], -rows[:, 2]))]  # stable: of equal ones, the first that came
    items, places = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    first = np.sort(np.unique(items, return_index=True)[1])
    complete = items if whole is None else items[np.isin(places, whole)]
    kinds = [KINDS[kind] for kind in (places[first] % 4).tolist()]
    ids = items[first]
    return Found(
        ids[:k], rows[first[:k], 2].astype(np.float32), frozenset(complete.tolist()),
        dict(zip(ids.tolist(), kinds, strict=True)),
    )  # fmt: skip


def _about(count: int, low: int, high: int, places: int) -> int:
    """How many documents there are in so many places, where some lie as close as these do. At least these."""
    return max(count, 1 + (count - 1) * places // (high - low))


class _Sqlite:
    """FTS5. Every word is quoted, which makes operators of its language plain words."""

    _FIRST, _LAST = (
        "SELECT count(*), min(rowid), max(rowid) FROM "
        f"(SELECT rowid FROM words_fts WHERE words_fts MATCH ? ORDER BY rowid {order} LIMIT ?)"
        for order in ("ASC", "DESC")
    )
    _PLACES = sa.select(
        sa.literal_column("rowid", sa.Integer).label("place"),
        (-sa.literal_column("bm25(words_fts)", sa.Float)).label("score"),
    ).select_from(sa.table("words_fts")).where(sa.text("words_fts MATCH :asked"))  # fmt: skip
    _WHOLE = _PLACES.with_only_columns(_PLACES.selected_columns.place)

    @staticmethod
    def _any(words: Sequence[str]) -> str:
        return " OR ".join(f'"{word}"' for word in words)

    @classmethod
    def counts(cls, connection: sa.Connection, words: Sequence[str]) -> tuple[dict[str, int], int]:
        """Documents that hold each word, and what is common; beyond enough, about, by how close the first ones lie.

        Those of one folder lie together: before a word is taken for common, its last documents are asked as well.
        """
        if not words:
            return {}, 0
        firsts = cls._ends(connection, cls._FIRST, words)
        counts, items = {word: count for word, (count, _, _) in firsts.items()}, 0
        if max(counts.values()) > _ENOUGH:
            items = connection.exec_driver_sql("SELECT max(id) FROM items").scalar() or 0  # as many as documents
        common = max(_ENOUGH, items // _COMMON)
        for word, (count, low, high) in firsts.items():
            if count > _ENOUGH:
                counts[word] = _about(count, low, high, 4 * items - low)
        many = [word for word in words if counts[word] > common]
        for word, (count, low, high) in cls._ends(connection, cls._LAST, many).items():
            counts[word] = min(counts[word], _about(count, low, high, high - firsts[word][1]))
        return counts, common

    @staticmethod
    def _ends(connection: sa.Connection, query: str, words: Sequence[str]) -> dict[str, tuple[int, int, int]]:
        """Of each word's first or last documents: how many, up to one more than are enough, and from where to where."""
        if not words:
            return {}
        asked = tuple(part for word in words for part in (f'"{word}"', _ENOUGH + 1))
        found = connection.exec_driver_sql(" UNION ALL ".join([query] * len(words)), asked).tuples()
        return dict(zip(words, found, strict=True))

    @classmethod
    def places(cls, words: Sequence[str], required: Sequence[str], counts: Sequence[int]) -> Places:
        """(place, score) of documents that hold a required word, scored by all; and what that is to be asked with."""
        asked = cls._any(words) if len(words) == len(required) else f"({cls._any(required)}) AND ({cls._any(words)})"
        return cls._PLACES, {"asked": asked}

    @classmethod
    def whole(cls, words: Sequence[str]) -> Places:
        """(place) of documents that hold every word; and what that is to be asked with."""
        return cls._WHOLE, {"asked": " AND ".join(f'"{word}"' for word in words)}


class _Postgres:
    """GIN indexes over tsvectors. BM25 is reckoned here, with one occurrence of each word: ts_rank knows no rarity."""

    @staticmethod
    def _asks(word: str) -> sa.ColumnElement[Any]:
        return sa.func.plainto_tsquery(sa.text("'words_plain'"), word)

    @classmethod
    def _documents(cls, asked: sa.ColumnElement[Any], *columns: Any) -> sa.CompoundSelect[Any]:
        """Place, words, and more columns of them, of documents that a query matches."""
        parts = []
        for kind, (place, words, more) in enumerate(
            ((Caption.id, Caption.text, ()), (Item.id, Item.path, (Item.parent_id.is_(None),)),
             (Keyword.item_id, Keyword.word, ()))
        ):  # fmt: skip
            vector = sa.func.words_of(words)
            query = sa.select((place * 4 + kind).label("place"), vector.label("words"))
            parts.append(query.where(vector.bool_op("@@")(asked), *more))
        return sa.union_all(*parts)

    @classmethod
    def _any(cls, words: Sequence[str]) -> sa.ColumnElement[Any]:
        asked = cls._asks(words[0])
        for word in words[1:]:
            asked = asked.op("||")(cls._asks(word))
        return asked

    @classmethod
    def counts(cls, connection: sa.Connection, words: Sequence[str]) -> tuple[dict[str, int], int]:
        """Documents that hold each word, up to one more than are enough; none counts as common."""
        found = {}
        for word in words:
            some = cls._documents(cls._asks(word)).limit(_ENOUGH + 1).subquery()
            found[word] = connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0
        return found, _ENOUGH + 1

    @classmethod
    def places(cls, words: Sequence[str], required: Sequence[str], counts: Sequence[int]) -> Places:
        """(place, score) of documents that hold a required word, scored by all; and what that is to be asked with."""
        found = cls._documents(cls._any(required)).cte("documents")
        length = sa.func.length(found.c.words)
        held = [
            sa.cast(found.c.words.bool_op("@@")(cls._asks(word)), sa.Integer) * math.log(1 + 1e6 / (count + 0.5))
            for word, count in zip(words, counts, strict=True)
        ]
        usual = sa.func.greatest(sa.func.avg(length).over(), 1)
        score = sum(held[1:], held[0]) * (_K1 + 1) / (1 + _K1 * (1 - _B + _B * length / usual))
        return sa.select(found.c.place, sa.cast(score, sa.Float).label("score")), {}

    @classmethod
    def whole(cls, words: Sequence[str]) -> Places:
        """(place) of documents that hold every word."""
        return sa.select(cls._documents(cls._asks(" ".join(words))).subquery().c.place), {}
