"""One query while it is answered: its two ranked lists made into one, what is cut from it, and what is said of hits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.confidence import CERTAIN, Calibration
from engine.errors import EncoderUnavailable
from engine.fulltext import Found, words_in
from engine.fusing import reciprocal_ranks
from engine.marks import Marked
from engine.types import F32, I64, Explanation, Mode, Part, Term
from engine.versions import LiveIndex

_NEAREST = 200  # of the vectors' list, looked through for the nearest to the words alone when marks moved the query

Ranked = tuple[I64, F32]  # ids (n,), each once, and what orders them (n,), descending


@dataclass(frozen=True, slots=True)
class Asked:
    """A query's vector (1, d), of unit length, and what it is made of: (term, weight, unit row (d,)).

    length: of the weighted sum of the rows, before it was made a unit vector. words: the row of the only term that
    pulls, if it is words.
    """

    vector: F32
    parts: tuple[tuple[str, float, F32], ...]
    length: float
    words: F32 | None = None


@dataclass(slots=True)
class Answer:
    """What is known of a query's hits so far.

    text: the words to look up, "" for none. asked: None where no vector is. index: what is searched by it. marked: what
    people said. out: items that are left out: the bad ones, and what the query does not want. least: of the confidence
    of hits. notice: why words are only looked up where they should be compared too. nearest, found: the two ranked
    lists. stages: that the first went through.
    """

    mode: Mode
    text: str
    asked: Asked | None
    index: LiveIndex | None
    marked: Marked
    out: frozenset[int]
    calibration: Calibration | None
    least: float = 0.0
    notice: EncoderUnavailable | None = None
    found: Found = field(default_factory=Found)
    nearest: Ranked = field(default_factory=lambda: (np.empty(0, np.int64), np.empty(0, np.float32)))
    stages: tuple[str, ...] = ()

    @property
    def deep(self) -> bool:
        """Whether a longer list is needed than what is shown of it, and the same for every page."""
        return self.mode is not Mode.VECTOR or bool(self.out) or self.least > 0

    @property
    def moved(self) -> bool:
        """Whether marks, or terms with a minus, drew the query away from its words."""
        return self.asked is not None and len(self.asked.parts) > 1

    def ranked(self, nearest: Ranked, found: Found) -> tuple[I64, F32]:
        """The two lists as one, less what is left out: ids (n,) and what orders them (n,), descending."""
        self.nearest, self.found = nearest, found
        if self.mode is Mode.HYBRID:
            ids, orders = fused(nearest[0], found)
        else:
            ids, orders = (found.ids, found.scores) if self.mode is Mode.TEXT else nearest
        kept = ~np.isin(ids, list(self.out)) if self.out else np.ones(len(ids), np.bool_)
        if self.least > 0:
            kept &= np.nan_to_num(self.confidences(ids), nan=0.0) >= self.least
        return ids[kept], orders[kept]

    def cosines(self, ids: I64, row: F32 | None = None) -> F32:
        """The cosine (n,) of the query, or of another unit row (d,), and each item; NaN for what has no vector."""
        out = np.full(len(ids), np.nan, np.float32)
        if self.asked is None or self.index is None or not len(ids):
            return out
        missing = np.ones(len(ids), np.bool_)
        if row is None:
            known = dict(zip(*(part.tolist() for part in self.nearest), strict=True))
            missing = np.array([i not in known for i in ids.tolist()])
            out[~missing] = [known[i] for i in ids[~missing].tolist()]
        if missing.any():
            asked = self.asked.vector if row is None else row[None]
            items, scores = self.index.refine(asked, ids[missing][None], int(missing.sum()))
            found = dict(zip(items[0].tolist(), scores[0].tolist(), strict=True))
            out[missing] = [found.get(i, np.nan) for i in ids[missing].tolist()]
        return out.clip(-1, 1)  # vectors are stored as float16: their length is not just 1

    def confidences(self, ids: I64) -> F32:
        """The confidence (n,) of each hit; NaN where nothing is known."""
        out = np.full(len(ids), np.nan, np.float32)
        words = len(words_in(self.text))  # none in a query of signs alone, which means nothing
        if words and self.calibration is not None and self.asked is not None and self.asked.words is not None:
            out = self.calibration.confidences(self.cosines(ids, self.asked.words if self.moved else None), words)
        if self.mode is Mode.TEXT or self.calibration is not None:
            out[[i in self.found.whole for i in ids.tolist()]] = CERTAIN
        return out

    @property
    def confidence(self) -> float | None:
        """That what the words ask for is there at all: of the surest hit, whether it is on the page or not."""
        near = self.nearest[0][: _NEAREST + len(self.out)]
        ids = near[~np.isin(near, list(self.out))][: _NEAREST if self.moved else 1]
        whole = sorted(self.found.whole - self.out)
        both = np.concatenate([ids, np.array(whole[:1], np.int64)])
        found = self.confidences(both)
        return None if not len(found) or np.isnan(found).all() else round(float(np.nanmax(found)), 4)

    def explanations(self, ids: I64) -> list[Explanation]:
        """Why each of these is there."""
        lists = [{int(i): n for n, i in enumerate(part, 1)} for part in (self.nearest[0], self.found.ids)]
        parts = self._parts(ids)
        sums = dict(zip(*(part.tolist() for part in fused(self.nearest[0], self.found)), strict=True))
        out = []
        for n, item in enumerate(ids.tolist()):
            near, found = (ranks.get(item) for ranks in lists)
            out.append(Explanation(
                stages=(*(self.stages if near else ()), *(("text",) if found else ())),
                parts=tuple(parts[n]),
                vector_rank=near,
                text_rank=found,
                text_score=round(float(self.found.scores[found - 1]), 4) if found else None,
                text_of=self.found.kinds.get(item) if found else None,
                fused=round(float(sums[item]), 6) if self.mode is Mode.HYBRID and item in sums else None,
            ))  # fmt: skip
        return out

    def _parts(self, ids: I64) -> list[list[Part]]:
        out: list[list[Part]] = [[] for _ in ids]
        for name, weight, row in self.asked.parts if self.asked else ():
            for parts, cosine in zip(out, self.cosines(ids, row).tolist(), strict=True):
                if cosine == cosine and self.asked is not None:  # an item without a vector has no parts
                    share = weight * cosine / self.asked.length
                    parts.append(Part(name, round(weight, 4), round(cosine, 6), round(share, 6)))
        return out


def fused(nearest: I64, found: Found) -> Ranked:
    """The two lists as one, by reciprocal ranks. What holds every word counts twice: else a name drowns in others."""
    return reciprocal_ranks([found.ids, nearest, found.whole_ids])


def looked_up(terms: Sequence[Term]) -> str:
    """The words of a query that are looked up as they are written: of all its terms that pull, if these are words."""
    pull = [term for term in terms if term.weight > 0]
    return " ".join(term.text for term in pull if term.text) if all(term.text for term in pull) else ""


def words_at(terms: Sequence[Term]) -> int | None:
    """The place of the only term that pulls, if it is words: what a search is for, whatever it is pushed away from."""
    pull = [at for at, term in enumerate(terms) if term.weight > 0]
    return pull[0] if len(pull) == 1 and terms[pull[0]].text is not None else None


def named(term: Term) -> str:
    """A term in words."""
    if term.text is not None:
        return term.text
    if term.item is not None:
        return f"item {term.item}"
    return "a picture" if term.image is not None else "a vector"
