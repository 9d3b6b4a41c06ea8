"""The searcher: a query's terms to one vector, the cascade, and what the catalog knows of the hits.

It serves one immutable version, plus a delta of what was embedded since, less what the catalog calls removed.
"""

import math
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from engine import fulltext, marks
from engine.answers import Answer, Asked, Ranked, looked_up, named, words_at
from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item
from engine.confidence import Calibrations
from engine.config import Config
from engine.encoders import Encoder
from engine.encoders.matching import MatchingEncoder
from engine.encoders.queries import QueryEncoder
from engine.errors import ArtifactError, EncoderUnavailable, InvalidInput, NotFound, NotReady
from engine.filtering import Filter
from engine.filters import check_text
from engine.folding import Fold, groups_of
from engine.heads import Head
from engine.index import bound_threads
from engine.live import Live
from engine.regions import Region, region_of
from engine.shown import ItemView
from engine.timing import Trace, Turns
from engine.types import F32, Hit, Modality, Mode, Query, Results, Term, Where
from engine.versions import LiveIndex, Version, store_of

_FOLDED = (Modality.IMAGE, Modality.VIDEO)
_DEEPEST = 1 << 20  # hits that folding looks through, at most
# Candidates for each hit of a page. Depths are measured for the first ten; of a first hundred, as many candidates as
# hits found 0.74 and 0.83, three times as many 0.96 and 0.99 (60,000 vectors in lists, 6,000 by additive codes).
_SPARE = 3
_NOTHING: Ranked = (np.empty(0, np.int64), np.empty(0, np.float32))


class UnknownWords(InvalidInput):
    """Words that a head which reads words itself has never seen."""


class Searcher:
    """Answers queries over one library. Safe to share between threads.

    encoder: the version's own, when the caller holds it already; otherwise it is loaded at the first query.
    """

    def __init__(self, config: Config, catalog: Catalog, encoder: Encoder | None = None) -> None:
        self.config, self.catalog = config, catalog
        self._encoder = QueryEncoder(encoder) if encoder else None
        self._matching = MatchingEncoder(config.encoder.device)
        self._encoder_lock, self._live = threading.Lock(), Live(catalog, config.search.device)
        self._name, self._calibrations = uuid.uuid4().hex[:8], Calibrations(catalog)
        self._turns = Turns()
        bound_threads(config.search.threads)

    @property
    def version(self) -> Version:
        """The version that answers now. Raises NotReady when none is published, NothingWhole when none is whole."""
        if self._live.version is None:
            self.refresh()
        if self._live.version is None:
            raise NotReady(
                "this library has no index yet: run `rebus index FOLDER`, and `rebus train --encoder` "
                "when it says that no encoder is chosen"
            )
        return self._live.version

    def refresh(self) -> bool:
        """Serve what is published, added and removed by now. True when anything changed. Raises as `Live.refresh`."""
        return self._live.refresh()

    def encoder(self, version: Version) -> Encoder:
        """The version's encoder, loaded once. Raises EncoderUnavailable when its weights are gone or changed."""
        with self._encoder_lock:
            if self._encoder is None or self._encoder.fingerprint != version.fingerprint:
                self._encoder = QueryEncoder(self._matching.load(version.encoder_spec, version.fingerprint))
            return self._encoder

    def refusal(self, version: Version) -> EncoderUnavailable | None:
        """Why the version's encoder could not be loaded, where that was tried in vain: see `MatchingEncoder`."""
        return self._matching.refusal(version.encoder_spec, version.fingerprint)

    def encode(self, terms: Sequence[Term]) -> F32:
        """The unit vectors (n, d) of terms in the joint space, weights aside: what `Term.vector` takes.

        Raises what `search` raises for terms that cannot be asked.
        """
        _check(Query(tuple(terms)))
        version = self.version
        rows = [
            _unit(term.vector, version) if term.vector else version.head.row(*self._term_input(version, term))
            for term in terms
        ]
        return np.stack(rows)

    @property
    def space(self) -> str:
        """What vectors of the served version are compared in: those of another space mean nothing beside them."""
        return _space(self.version)

    def known_as(self, terms: Sequence[Term]) -> marks.Asked:
        """How marks know a query again. Raises what `search` raises for terms that cannot be asked."""
        query = Query(tuple(terms), modality=Modality.IMAGE)
        _check(query)
        words = marks.words_asked(terms)
        if words is not None:
            return marks.Asked(words)
        version = self.version
        return marks.Asked(vector=self._vector(version, query).vector[0], space=_space(version))

    def search(self, query: Query, page: int | None = None) -> Results:
        """The best hits of `query.modality`, with milliseconds by stage: encode, recall, refine, text, catalog, total;
        cascade is both recall and refine, exact stands for them; wait is for others, where a search had to.

        page: hits of one page, for all searches whose hits are compared: how deep they look depends on it; left out,
        the query's limit. Text mode needs no encoder and no index. Raises InvalidInput for a query that cannot be
        asked, NotFound for a term's missing item, NotReady before anything is indexed.
        """
        _check(query)
        mode, size = self.mode(query), page or query.limit
        try:
            return self._search(query, mode, size)
        except ArtifactError:  # compaction took the old shards away since the last look: its version is published
            if mode is Mode.TEXT or not self.refresh():
                raise
            return self._search(query, mode, size)

    def mode(self, query: Query) -> Mode:
        """What answers a query: vectors alone, when it asks for more than words.

        Only then does a ranking stay as it is with `Results.state`: captions are read where they are, and may change.
        """
        if looked_up(query.terms):
            return query.mode or Mode(self.config.search.mode)
        if query.mode is Mode.TEXT:
            raise InvalidInput("mode text looks words up: give words, or leave the mode out for pictures and items")
        return Mode.VECTOR

    def _search(self, query: Query, mode: Mode, size: int) -> Results:
        changes = self._live.changes  # before the version: a later change is then looked for by the next page
        version = None if mode is Mode.TEXT else self.version
        trace, started = Trace(), time.perf_counter()
        with trace.timed("encode"):
            answer = self._answer(version, query, mode)
        page = slice(query.offset, query.offset + query.limit)
        with self._turns.taken(trace):
            ranked = self._ranked(version, answer, query, size, trace)
            with trace.timed("catalog"):
                orders = dict(zip(ranked.ids[page], ranked.scores[page], strict=True))
                views = [view for view in self.catalog.items(list(orders)) if view.item.removed_at is None]
                hits = _hits(views, orders, ranked.alike(list(orders)), answer, query.explain)
        trace.took["total"] = (time.perf_counter() - started) * 1000
        more = len(ranked.ids) > query.offset + query.limit
        took = {stage: round(ms, 3) for stage, ms in trace.took.items()}
        return Results(
            hits, version.id if version else self._served(), more, took,
            confidence=answer.confidence, mode=mode, marks=len(answer.marked), notice=answer.notice,
            depths=trace.depths, state=f"{self._name}-{changes}-{hash(answer.marked):x}",
        )  # fmt: skip

    def _served(self) -> int:
        """The number of the version that is served; 0 while there is none."""
        try:
            return self.version.id
        except (NotReady, ArtifactError):
            return 0

    def _answer(self, version: Version | None, query: Query, mode: Mode) -> Answer:
        """A query as it is asked: its vector, drawn to its good marks, and how sure its hits can be."""
        asked, notice = None, None
        if version is not None:
            try:
                asked = self._vector(version, query)
            except (UnknownWords, EncoderUnavailable) as error:
                if mode is not Mode.HYBRID or query.least > 0 or not self._text(query, 1)[0].ids.size:
                    raise  # words that are only looked up have no confidence to cut by
                notice = error if isinstance(error, EncoderUnavailable) else None
        marked = self._marked(version, query, asked)
        calibration = None
        if asked is not None and asked.words is not None and version is not None and query.modality in _FOLDED:
            calibration = self._calibrations.of(version.id, version.published_at)
            if calibration is not None and version.head.texts is None:
                calibration = calibration.for_words(fulltext.words_in(looked_up(query.terms)), self.encoder(version))
        if query.least > 0 and mode is not Mode.TEXT and calibration is None:
            raise InvalidInput(
                "min cuts by confidence, and there is none for this query: it takes words, looking for pictures, in a "
                "library that `rebus index` could calibrate, by captions of held-out pictures"
            )
        if version is not None and asked is not None and marked.good:
            asked = self._drawn(version, asked, marked.good)
        index = version.indexes.get(query.modality) if version else None
        out = frozenset((*marked.bad, *query.without))
        return Answer(mode, looked_up(query.terms), asked, index, marked, out, calibration, query.least, notice)

    def _marked(self, version: Version | None, query: Query, asked: Asked | None) -> marks.Marked:
        words = marks.words_asked(query.terms)
        if not query.marks or (words is None and (asked is None or version is None)):
            return marks.Marked()
        if words is not None:
            return marks.of_query(self.catalog, marks.Asked(words))
        assert asked is not None and version is not None
        return marks.of_query(self.catalog, marks.Asked(vector=asked.vector[0], space=_space(version)))

    def _drawn(self, version: Version, asked: Asked, good: Sequence[int]) -> Asked:
        """A query drawn to its good answers, as far as they have vectors here."""
        rows = []
        for item in good:
            try:
                rows.append(version.head.row(*self._stored(version, item)))
            except NotFound:  # not embedded by this encoder, or a caption that a head reads itself
                continue
        if not rows:
            return asked
        vector, weight = marks.moved(asked.vector, np.stack(rows))
        mean = np.stack(rows).mean(axis=0)
        size = float(np.linalg.norm(mean))
        scale = asked.length * float(np.linalg.norm(asked.vector[0] + weight * mean))
        parts = (*asked.parts, ("good marks", asked.length * weight * size, (mean / size).astype(np.float32)))
        return replace(asked, vector=vector, parts=parts, length=scale)

    def _ranked(self, version: Version | None, answer: Answer, query: Query, size: int, trace: Trace) -> Fold:
        """What is shown from the best on, to the end of the page and one more, when there is one.

        It asks deeper until that is full. The depths are the same for every page of a query, of `size` hits, and what
        a lesser depth has ranked stays before what a greater one adds: pages follow on each other.
        """
        wanted, fold = query.offset + query.limit + 1, query.fold and query.modality in _FOLDED
        index = version.indexes.get(query.modality) if version else None
        first = max(self._depth(index), size + 1)
        depth = first if fold or answer.deep else min(first, wanted)  # candidates, and so the order, are the same
        if query.exact:
            depth = max(depth, wanted)  # the order is the same at any depth
        items = [term.item for term in query.terms if term.item is not None and term.weight > 0]
        open_groups = groups_of(self.catalog, items).values() if fold and items else ()
        ranked = Fold(self.catalog, fold=fold, open_groups=open_groups)
        while True:
            nearest, found, all_near, all_found = _NOTHING, fulltext.Found(), True, True
            if version is not None and answer.asked is not None:
                nearest, answer.stages, all_near = self._find(version, answer.asked.vector, query, depth, size, trace)
            if answer.mode is not Mode.VECTOR:
                with trace.timed("text"):
                    found, all_found = self._text(query, depth)
            ids, orders = answer.ranked(nearest, found)
            with trace.timed("catalog"):
                ranked.take(ids.tolist(), orders.tolist(), wanted)
            if len(ranked.ids) >= wanted or (all_near and all_found) or depth >= _DEEPEST:
                return ranked
            depth = 2 * depth if depth >= first else first

    def _text(self, query: Query, k: int) -> tuple[fulltext.Found, bool]:
        """What holds the words of a query and none of those with a minus, and whether that is all."""
        without = [term.text for term in query.terms if term.weight < 0 and term.text]
        found = fulltext.find(
            self.catalog, looked_up(query.terms), query.modality, query.where, _DEEPEST if without else k
        )
        for text in without:
            found = found.without(fulltext.holding(self.catalog, text, query.modality, found.ids))
        return found.first(k), len(found.ids) < k

    def _find(
        self, version: Version, vector: F32, query: Query, k: int, size: int, trace: Trace
    ) -> tuple[Ranked, tuple[str, ...], bool]:
        """The cascade: recall by codes, then exact refine, in one call where the index can; or the exact scan alone,
        which a small library and few ids of a filter need.

        Ids and scores, best first, the stages that they went through, and whether these are all: a few lists may hold
        fewer than are asked for.
        """
        index = version.indexes.get(query.modality)
        if index is None:
            return _NOTHING, (), True
        where, candidates = self._filter(query), max(self._depth(index), k, _SPARE * (size + 1))
        allowed = len(index) if where is None else len(where.ids)
        if query.exact or index.scan_pays(where, candidates):
            stages: tuple[str, ...] = ("exact",)
            trace.depths = {"exact": allowed}
            with trace.timed("exact"):
                ids, scores = index.exact(vector, k, where)
        elif index.whole:
            stages, trace.depths = ("cascade",), index.explained(candidates)
            with trace.timed("cascade"):
                ids, scores = index.search(vector, candidates, k, where)
        else:
            stages, trace.depths = ("recall", "refine"), index.explained(candidates)
            with trace.timed("recall"):
                found, _ = index.recall(vector, candidates, where)
            with trace.timed("refine"):
                ids, scores = index.refine(vector, found, k)
        there = ids[0] >= 0
        whole = not there.all() and (stages == ("exact",) or candidates >= allowed)
        return (ids[0][there], scores[0][there]), stages, whole

    def _depth(self, index: LiveIndex | None) -> int:
        """Candidates that codes hand on: as many as were measured to be enough, else as the settings say."""
        return (index.depth if index is not None else None) or self.config.search.candidates

    def _filter(self, query: Query) -> Filter | None:
        if query.where == Where():
            return None
        return Filter(np.array(self.catalog.ids_matching(query.where, query.modality), np.int64))

    def _vector(self, version: Version, query: Query) -> Asked:
        """The query (1, d), of unit length: the weighted sum of its terms' unit vectors in the joint space.

        Terms of equal weight are read together by a head that can.
        """
        given = [term for term in query.terms if term.vector is None]
        inputs = [self._term_input(version, term) for term in given]
        for modality, _ in inputs:
            if query.modality in version.indexes and not version.head.compares(modality, query.modality):
                raise NotReady(
                    f"{modality} and {query.modality} vectors of this library lie in different spaces: run "
                    "`rebus train` to learn a common one from its captions"
                )
        if query.modality is Modality.TEXT and not version.head.reads_words:
            raise _wordless()
        alone = len(given) == len(query.terms) > 1
        if version.head.fuses and alone and {term.weight for term in query.terms} == {1.0}:
            vector = _fused(version.head, inputs)
            return Asked(vector, ((" + ".join(map(named, given)), 1.0, vector[0]),), 1.0)
        read = iter(inputs)
        rows = [
            version.head.row(*next(read)) if term.vector is None else _unit(term.vector, version)
            for term in query.terms
        ]
        total = np.zeros(version.head.aligner.dim, np.float32)
        for term, row in zip(query.terms, rows, strict=True):
            total += term.weight * row
        length = float(np.linalg.norm(total))
        if length < 1e-6:
            raise InvalidInput("the terms cancel each other out: change a weight or leave one out")
        parts = tuple((named(term), term.weight, row) for term, row in zip(query.terms, rows, strict=True))
        words = words_at(query.terms)
        return Asked((total / length)[None], parts, length, None if words is None else rows[words])

    def _term_input(self, version: Version, term: Term) -> tuple[Modality, F32 | str]:
        """A term's modality, and what the head reads of it: its embedding (1, d_in), or words as they are."""
        if term.item is not None and term.region is not None:
            term = self._part(version, term.item, term.region)
        words = term.text if term.item is None else self._words(version, term.item)
        if words is not None and version.head.texts is not None:
            if not version.head.knows(words):
                raise UnknownWords(f"no word of {words!r} occurs in this library's captions: use other words")
            return Modality.TEXT, words
        if term.item is not None:
            modality, embedding = self._stored(version, term.item)
        elif term.image is not None:
            modality, embedding = Modality.IMAGE, self.encoder(version).encode_images([term.image])
        elif not version.head.reads_words:
            raise _wordless()
        else:
            modality, embedding = Modality.TEXT, self.encoder(version).encode_text([term.text or ""])
        return modality, embedding

    def _part(self, version: Version, item_id: int, region: Region) -> Term:
        """A part of an item's picture as a picture. Raises what `region_of` raises."""
        pixels = self.encoder(version).image_input.shorter_side
        return Term(image=region_of(self.catalog.item(item_id), region, self.config, pixels))

    def _words(self, version: Version, item_id: int) -> str | None:
        """The words of a present text item, for a head that reads words itself; None for other items and heads."""
        if version.head.texts is None:
            return None
        query = sa.select(Caption.text).join(Item, Item.id == Caption.id)
        with self.catalog.session() as session:
            return session.scalar(query.where(Item.id == item_id, Item.removed_at.is_(None)))

    def _stored(self, version: Version, item_id: int) -> tuple[Modality, F32]:
        query = sa.select(Item.modality, Embedding.shard, Embedding.row, EncoderRow)
        query = query.join(Embedding, Embedding.item_id == Item.id).join(EncoderRow)
        query = query.where(Item.id == item_id, Item.removed_at.is_(None), Embedding.encoder_id == version.encoder_id)
        with self.catalog.session() as session:
            row = session.execute(query).first()
        if row is None:
            raise NotFound(f"no indexed item {item_id} in this library")
        store, encoder = version.store, row.EncoderRow
        if encoder.generation != version.generation:  # compacted since this version was loaded
            store = store_of(self.catalog.home, encoder, encoder.generation, version.head)
        return Modality(row.modality), store.read(np.array([row.shard]), np.array([row.row]))


def _unit(vector: tuple[float, ...], version: Version) -> F32:
    """A vector of the joint space as a unit row (d,). Raises InvalidInput for one of another width, or of no length."""
    row, dim = np.array(vector, np.float64), version.head.aligner.dim
    if len(row) != dim:
        raise InvalidInput(f"a vector of {len(row):,} numbers does not fit: this library's have {dim:,}")
    with np.errstate(over="ignore"):
        length = float(np.linalg.norm(row))
    if not 1e-12 < length < np.inf:
        raise InvalidInput("a vector has no direction: its numbers are all 0, too large, or none at all")
    return (row / length).astype(np.float32)


def _fused(head: Head, inputs: Sequence[tuple[Modality, F32 | str]]) -> F32:
    """The unit vector (1, d) of several terms' inputs, read together."""
    vectors: dict[Modality, list[F32]] = {}
    for modality, given in inputs:
        if not isinstance(given, str):
            vectors.setdefault(Modality.IMAGE if modality is Modality.VIDEO else modality, []).append(given)
    words = [given for _, given in inputs if isinstance(given, str)]
    return head.fuse({modality: np.concatenate(rows) for modality, rows in vectors.items()}, words)


def _wordless() -> NotReady:
    return NotReady(
        "this library has vectors of pictures alone, and nothing that reads words: run `rebus train` to learn from its "
        "captions. A picture can be searched with a picture"
    )


def _check(query: Query) -> None:
    if not query.terms:
        raise InvalidInput("the query is empty: give words, a picture or an item")
    for term in query.terms:
        if sum(part is not None for part in (term.text, term.image, term.item, term.vector)) != 1:
            raise InvalidInput("each term is exactly one of text, image, item or vector")
        if term.text is not None and not term.text.strip():
            raise InvalidInput("a text term is empty: give words")
        if term.item is not None and not 0 < term.item < 2**63:  # a larger one is no integer of a database
            raise NotFound(f"no item {term.item} in this library")
        if term.region is not None and not _inside(term):
            raise InvalidInput("a region is a part of an item's picture: left, top, width and height as shares of it")
        if not np.isfinite(term.weight) or abs(term.weight) > 1000:
            raise InvalidInput(f"weight {term.weight} is not possible: use a number between -1000 and 1000")
    where = query.where
    said = (where.path, where.camera, where.place, where.source, where.root, *where.keywords)
    check_text(words for words in (*said, *(term.text for term in query.terms)) if words is not None)
    if not 0 <= query.least <= 1:
        raise InvalidInput(f"min {query.least} is no confidence: it is a number between 0 and 1")
    if query.limit < 1 or query.offset < 0 or query.offset + query.limit > 10_000:
        raise InvalidInput("limit must be at least 1, offset at least 0, and both together at most 10,000")


def _inside(term: Term) -> bool:
    """Whether a term's region lies in the picture of an item, and is not empty."""
    x, y, w, h = term.region or (0, 0, 1, 1)
    return term.item is not None and 0 <= x < x + w <= 1.0001 and 0 <= y < y + h <= 1.0001


def _space(version: Version) -> str:
    return f"{version.fingerprint[:16]}-{version.head_id or 0}"


def _hits(
    views: Sequence[ItemView], orders: Mapping[int, float], alike: Mapping[int, int], answer: Answer, explain: bool
) -> tuple[Hit, ...]:
    """Items as hits, with their cosines, how sure they are, and, where asked for, why they are there."""
    ids = np.array([view.item.id for view in views], np.int64)
    reasons: Sequence[Any] = answer.explanations(ids) if explain else [None] * len(ids)
    numbers = zip(answer.cosines(ids).tolist(), answer.confidences(ids).tolist(), reasons, strict=True)
    return tuple(
        Hit(
            item.id, _number(cosine, 6), Modality(item.modality), view.root, item.path, view.caption, view.picture_id,
            item.width, item.height, item.position, alike.get(item.id, 0), view.thumb, round(orders[item.id], 6),
            _number(sure, 4), reason,
        )
        for view, item, (cosine, sure, reason) in zip(views, (view.item for view in views), numbers, strict=True)
    )  # fmt: skip


def _number(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)
