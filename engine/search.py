"""The searcher: a query's terms to one vector, the cascade, and what the catalog knows of the hits.

It serves one immutable version, plus a delta of what was embedded since, less what the catalog calls removed.
"""

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, ItemView
from engine.config import Config
from engine.encoders import Encoder, load_encoder
from engine.encoders.queries import QueryEncoder
from engine.errors import ArtifactError, EncoderUnavailable, InvalidInput, NotFound, NotReady
from engine.filtering import Filter, scan_pays
from engine.filters import check_text
from engine.folding import Fold, groups_of
from engine.heads import Head
from engine.index import bound_threads
from engine.live import Live
from engine.regions import Region, region_of
from engine.store import EmbeddingStore, store_folder
from engine.types import F32, I64, Hit, Modality, Query, Results, Term, Where
from engine.versions import Version

_FOLDED = (Modality.IMAGE, Modality.VIDEO)
_DEEPEST = 1 << 20  # hits that folding looks through, at most


class Searcher:
    """Answers queries over one library. Safe to share between threads.

    encoder: the version's own, when the caller holds it already; otherwise it is loaded at the first query.
    """

    def __init__(self, config: Config, catalog: Catalog, encoder: Encoder | None = None) -> None:
        self.config, self.catalog = config, catalog
        self._encoder = QueryEncoder(encoder) if encoder else None
        self._encoder_lock, self._live = threading.Lock(), Live(catalog, config.search.device)
        self._name = uuid.uuid4().hex[:8]
        bound_threads(config.search.threads)

    @property
    def version(self) -> Version:
        """The version that answers now. Raises NotReady when none is published, ArtifactError when none is whole."""
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
                encoder = load_encoder(version.encoder_spec, self.config.encoder.device)
                if encoder.fingerprint != version.fingerprint:
                    raise EncoderUnavailable(
                        f"the weights of {version.encoder_spec} changed since this library was indexed: "
                        "bring the old ones back, or run `rebus index` to embed with the new ones"
                    )
                self._encoder = QueryEncoder(encoder)
            return self._encoder

    @property
    def state(self) -> str:
        """A name of what is served now: while it stays the same, so does every ranking. No other searcher shares it."""
        return f"{self._name}-{self._live.changes}"

    def encode(self, terms: Sequence[Term]) -> F32:
        """The unit vectors (n, d) of terms in the joint space, weights aside: what `Term.vector` takes.

        Raises what `search` raises for terms that cannot be asked.
        """
        _check(Query(tuple(terms)))
        version = self.version
        rows = [
            _unit(term.vector, version) if term.vector else _projected(version.head, *self._term_input(version, term))
            for term in terms
        ]
        return np.stack(rows)

    def search(self, query: Query) -> Results:
        """The best hits of `query.modality`, with milliseconds by stage (encode, recall, refine, catalog, total).

        Raises InvalidInput for a query that cannot be asked, NotFound for a term's missing item, NotReady
        before anything is indexed.
        """
        _check(query)
        try:
            return self._search(self.version, query)
        except ArtifactError:  # compaction took the old shards away since the last look: its version is published
            if not self.refresh():
                raise
            return self._search(self.version, query)

    def _search(self, version: Version, query: Query) -> Results:
        took = dict[str, float]()
        started = time.perf_counter()
        with _timed(took, "encode"):
            vector = self._vector(version, query)
        ranked = self._ranked(version, vector, query, took)
        page = slice(query.offset, query.offset + query.limit)
        with _timed(took, "catalog"):
            views = {view.item.id: view for view in self.catalog.items(ranked.ids[page])}
            alike = ranked.alike(ranked.ids[page])
        took["total"] = (time.perf_counter() - started) * 1000
        hits = tuple(
            _hit(views[i], score, alike.get(i, 0))
            for i, score in zip(ranked.ids[page], ranked.scores[page], strict=True)
            if i in views and views[i].item.removed_at is None
        )
        more = len(ranked.ids) > query.offset + query.limit
        return Results(hits, version.id, more, {stage: round(ms, 3) for stage, ms in took.items()})

    def _ranked(self, version: Version, vector: F32, query: Query, took: dict[str, float]) -> Fold:
        """What is shown from the best on, to the end of the page and one more, when there is one.

        Folding asks deeper until that is full. The depths are the same for every page of a query, and what a lesser
        depth has ranked stays before what a greater one adds: pages follow on each other.
        """
        wanted, fold = query.offset + query.limit + 1, query.fold and query.modality in _FOLDED
        depth = max(self.config.search.candidates, query.limit + 1) if fold else wanted
        if query.exact:
            depth = max(depth, wanted)  # the order is the same at any depth
        items = [term.item for term in query.terms if term.item is not None and term.weight > 0]
        open_groups = groups_of(self.catalog, items).values() if fold and items else ()
        ranked = Fold(self.catalog, fold=fold, open_groups=open_groups)
        while True:
            ids, scores = self._find(version, vector, query, depth, took)
            with _timed(took, "catalog"):
                ranked.take(ids.tolist(), scores.tolist(), wanted)
            if len(ranked.ids) >= wanted or len(ids) < depth or depth >= _DEEPEST:
                return ranked
            depth *= 2

    def _find(self, version: Version, vector: F32, query: Query, k: int, took: dict[str, float]) -> tuple[I64, F32]:
        """The cascade: hash recall, then exact refine; or the exact scan alone, which few ids of a filter need.

        Ids and scores, best first.
        """
        index = version.indexes.get(query.modality)
        if index is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        where, candidates = self._filter(query), max(self.config.search.candidates, k)
        if query.exact or scan_pays(where, len(index), candidates):
            with _timed(took, "exact"):
                ids, scores = index.exact(vector, k, where)
        else:
            with _timed(took, "recall"):
                found, _ = index.recall(vector, candidates, where)
            with _timed(took, "refine"):
                ids, scores = index.refine(vector, found, k)
        there = ids[0] >= 0
        return ids[0][there], scores[0][there]

    def _filter(self, query: Query) -> Filter | None:
        if query.where == Where():
            return None
        return Filter(np.array(self.catalog.ids_matching(query.where, query.modality), np.int64))

    def _vector(self, version: Version, query: Query) -> F32:
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
            return _fused(version.head, inputs)
        total = np.zeros(version.head.aligner.dim, np.float32)
        for term in query.terms:
            if term.vector is not None:
                total += term.weight * _unit(term.vector, version)
        for term, (modality, read) in zip(given, inputs, strict=True):
            total += term.weight * _projected(version.head, modality, read)
        length = float(np.linalg.norm(total))
        if length < 1e-6:
            raise InvalidInput("the terms cancel each other out: change a weight or leave one out")
        return (total / length)[None]

    def _term_input(self, version: Version, term: Term) -> tuple[Modality, F32 | str]:
        """A term's modality, and what the head reads of it: its embedding (1, d_in), or words as they are."""
        if term.item is not None and term.region is not None:
            term = self._part(version, term.item, term.region)
        words = term.text if term.item is None else self._words(version, term.item)
        if words is not None and version.head.texts is not None:
            if not version.head.knows(words):
                raise InvalidInput(f"no word of {words!r} occurs in this library's captions: use other words")
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
        query = sa.select(Item.modality, Embedding.shard, Embedding.row, EncoderRow.generation)
        query = query.join(Embedding, Embedding.item_id == Item.id).join(EncoderRow)
        query = query.where(Item.id == item_id, Item.removed_at.is_(None), Embedding.encoder_id == version.encoder_id)
        with self.catalog.session() as session:
            row = session.execute(query).first()
        if row is None:
            raise NotFound(f"no indexed item {item_id} in this library")
        store = version.store
        if row.generation != version.generation:  # compacted since this version was loaded
            folder = store_folder(self.catalog.home, version.fingerprint, row.generation)
            store = EmbeddingStore(folder, store.dim)
        return Modality(row.modality), store.read(np.array([row.shard]), np.array([row.row]))


def _projected(head: Head, modality: Modality, given: F32 | str) -> F32:
    """The unit vector (d,) of one term's input."""
    rows = head.project_texts([given]) if isinstance(given, str) else head.project(given, modality)
    out: F32 = rows[0]
    return out


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
    said = (where.path, where.camera, where.place, where.source, *where.keywords, *(term.text for term in query.terms))
    check_text(words for words in said if words is not None)
    if query.limit < 1 or query.offset < 0 or query.offset + query.limit > 10_000:
        raise InvalidInput("limit must be at least 1, offset at least 0, and both together at most 10,000")


def _inside(term: Term) -> bool:
    """Whether a term's region lies in the picture of an item, and is not empty."""
    x, y, w, h = term.region or (0, 0, 1, 1)
    return term.item is not None and 0 <= x < x + w <= 1.0001 and 0 <= y < y + h <= 1.0001


def _hit(view: ItemView, score: float, alike: int) -> Hit:
    item = view.item
    return Hit(
        item.id, round(score, 6), Modality(item.modality), view.root, item.path, view.caption, view.picture_id,
        item.width, item.height, item.position, alike, view.thumb,
    )  # fmt: skip


@contextmanager
def _timed(took: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    took[stage] = took.get(stage, 0.0) + (time.perf_counter() - start) * 1000
