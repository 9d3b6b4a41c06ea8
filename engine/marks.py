"""What people said of results: good or bad answers to a query. Kept in the catalog, used at once, and learned from.

A query of words alone is known by its words, in any case, any other by its vector. `rebus train` learns from words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session

from engine.catalog import Catalog, HeadRow, Item, Mark
from engine.errors import InvalidInput, NotFound
from engine.types import F32, Term

_SAME = 0.9995  # cosine from which on two vectors are of one query: float16 takes less than that away
_DRAWING = 64  # good marks that a query is drawn to: the last ones
_LOOKED_AT = 4096  # marks known by vectors that are compared with one, the last ones
_ENOUGH = 20  # marks since the last training that are worth another
_HALF = 3.0  # good marks from which on they weigh half as much as they can


@dataclass(frozen=True, slots=True)
class Asked:
    """A query, as marks know it again: by words, or else by a unit vector (d,) of a joint space."""

    words: str = ""
    vector: F32 | None = None
    space: str | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """Items that a query's marks call good and bad, the last word on each."""

    good: tuple[int, ...] = ()
    bad: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.good) + len(self.bad)


@dataclass(frozen=True, slots=True)
class ToLearn:
    """Marks that training reads: all, and those since head `trained`, which is the last one (0: none)."""

    count: int
    fresh: int
    trained: int

    @property
    def enough(self) -> bool:
        """Whether it is time to train, again or at all."""
        return self.fresh >= _ENOUGH


def words_asked(terms: Sequence[Term]) -> str | None:
    """The words of a query of words alone; None for any other."""
    if len(terms) == 1 and terms[0].text is not None and terms[0].weight > 0:
        return " ".join(terms[0].text.split())
    return None


def put(catalog: Catalog, asked: Asked, item_ids: Sequence[int], good: bool | None) -> int:
    """Say that items are good or bad answers; None takes back what was said. How many marks there were or are.

    Raises NotFound for an item that is not there.
    """
    vector = None if asked.vector is None else asked.vector.astype("<f2").tobytes()
    ids = list(dict.fromkeys(item_ids))
    if not asked.words and vector is None:
        raise InvalidInput("a mark belongs to a query: give its words or its terms")
    with catalog.session() as session:
        if good is not None:
            there = set(session.scalars(sa.select(Item.id).where(Item.id.in_(ids), Item.removed_at.is_(None))))
            for item in ids:
                if item not in there:
                    raise NotFound(f"no item {item} in this library")
        before = _rows(session, asked, Mark.item_id.in_(ids))
        for row in before:
            session.delete(row)
        if good is None:
            return len({row.item_id for row in before})
        session.add_all(
            Mark(item_id=item, query=asked.words, vector=vector, space=asked.space, good=good) for item in ids
        )
        return len(ids)


def forget(catalog: Catalog, mark_ids: Sequence[int]) -> int:
    """Take marks back by their numbers; how many there were."""
    with catalog.session() as session:
        done = session.execute(sa.delete(Mark).where(Mark.id.in_(mark_ids)).returning(Mark.id))
        return len(done.all())


def forget_all(catalog: Catalog, asked: Asked) -> int:
    """Take back all that was said of a query's results; how many marks there were."""
    with catalog.session() as session:
        rows = _rows(session, asked)
        for row in rows:
            session.delete(row)
        return len(rows)


def listed(
    catalog: Catalog, words: str | None = None, *, before: int = 2**63 - 1, limit: int, vectors: bool | None = None
) -> list[Mark]:
    """Marks on present items, the newest first. words: of this query; vectors: of queries known by theirs, or not."""
    query = _present(sa.select(Mark)).where(Mark.id < before)
    if words is not None:
        query = query.where(_WORDS).params(words=" ".join(words.split()))
    if vectors is not None:
        query = query.where(Mark.vector.is_not(None) if vectors else Mark.vector.is_(None))
    with catalog.session() as session:
        return list(session.scalars(query.order_by(Mark.id.desc()).limit(limit)))


def learned(catalog: Catalog) -> int:
    """How many marks there are that training reads: on words, and on items that are present."""
    return to_learn(catalog).count


def to_learn(catalog: Catalog) -> ToLearn:
    """Whether there are enough marks to train."""
    with catalog.reading() as connection:
        trained, at = connection.execute(_LAST_HEAD).tuples().first() or (0, 0.0)
        count, fresh = connection.execute(_LEARNED, {"at": at}).tuples().one()
        return ToLearn(count, fresh, trained)


def of_query(catalog: Catalog, asked: Asked) -> Marked:
    """The marks of a query on items that are present: all that are bad, and the last good ones, which move it."""
    with catalog.reading() as connection:
        rows = connection.execute(_SAID_OF_WORDS if asked.words else _SAID_OF_VECTORS, _named(asked)).all()
    last: dict[int, bool] = {}
    for row in rows:
        if _same(row, asked):
            last.setdefault(row.item_id, row.good)
    good = [item for item, said in last.items() if said]
    return Marked(tuple(good[:_DRAWING]), tuple(item for item, said in last.items() if not said))


def moved(vector: F32, good: F32) -> tuple[F32, float]:
    """A query (1, d) drawn to its good answers (m, d), all of unit length, and the weight of their mean.

    Rocchio 1971, with m / (m + 3) of their mean. Bad answers do not move it: away from what is near a query lies much
    that it wants, and every weight that was tried found less.
    """
    weight = len(good) / (len(good) + _HALF)
    total = vector + weight * good.mean(axis=0)
    out: F32 = (total / np.linalg.norm(total)).astype(np.float32)
    return out, weight


def _rows(session: Session, asked: Asked, *conditions: sa.ColumnElement[bool]) -> list[Mark]:
    """The marks of a query, of items that are gone too."""
    known = _WORDS if asked.words else _VECTORS
    found = session.scalars(sa.select(Mark).where(known, *conditions), _named(asked))
    return [row for row in found if _same(row, asked)]


def _present(query: sa.Select[Any]) -> sa.Select[Any]:
    """Marks on present items."""
    return query.join(Item, Item.id == Mark.item_id).where(Item.removed_at.is_(None))


def _named(asked: Asked) -> dict[str, str | None]:
    """What `_WORDS` and `_VECTORS` ask for."""
    return {"words": asked.words} if asked.words else {"space": asked.space}


def _same(row: Mark | sa.Row[Any], asked: Asked) -> bool:
    """Whether a row that `_WORDS` or `_VECTORS` chose is of this query."""
    if asked.words or asked.vector is None or row.vector is None:
        return bool(asked.words)
    known = np.frombuffer(row.vector, "<f2").astype(np.float32)
    return len(known) == len(asked.vector) and float(known @ asked.vector) > _SAME * float(np.linalg.norm(known))


# Which marks may be of a query; made once, like what every search asks by them: that takes longer than the answer.
# Words are the same in any case. Their length is compared first: it spares SQLite most calls of a function of ours.
_ASKED = sa.bindparam("words", type_=sa.String)
_WORDS = sa.and_(
    Mark.vector.is_(None),
    sa.func.length(Mark.query) == sa.func.length(_ASKED),
    sa.func.lower(Mark.query) == sa.func.lower(_ASKED),
)
_VECTORS = sa.and_(Mark.vector.is_not(None), Mark.space == sa.bindparam("space"))
_SAID = _present(sa.select(Mark.item_id, Mark.good, Mark.vector)).order_by(Mark.id.desc())
_LAST_HEAD = sa.select(HeadRow.id, HeadRow.created_at).order_by(HeadRow.id.desc()).limit(1)
_FRESH = sa.func.count(sa.case((Mark.marked_at > sa.bindparam("at"), 1)))
_LEARNED = _present(sa.select(sa.func.count(), _FRESH).select_from(Mark)).where(Mark.vector.is_(None))
_SAID_OF_WORDS, _SAID_OF_VECTORS = _SAID.where(_WORDS), _SAID.where(_VECTORS).limit(_LOOKED_AT)
