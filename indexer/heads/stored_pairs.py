"""Pairs for training a head: stored embeddings with their captions, without decoding anything again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa

from engine.catalog import Caption, Catalog, Embedding, EncoderRow, Item, Mark, chunks, dims_of
from engine.config import Config
from engine.errors import EncoderUnavailable, InvalidInput
from engine.store import EmbeddingStore, store_folder
from engine.types import F32, I64, Modality
from indexer.splits import Captioned, captioned, held_out, pictures, split

Encode = Callable[[Sequence[str]], F32]
_SEEN = (Modality.IMAGE, Modality.VIDEO)


def _nothing() -> I64:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class StoredPairs:
    """Pictures and their captions.

    images: (n, d_image) float32, as the encoder or an import gave them, not normalised again. texts: (m, d_text)
    embeddings of the captions, None when the encoder has none or the head reads words. words: the m captions
    themselves. owner: (m,) the row of each caption's picture. categories: (n,) from 0 on, -1 where none is known; None
    when the library has none. weights: (m,) how much each pair counts; 1 for captions, more for good marks, 0 for a
    text that is no pair: its picture, in `negatives` (k, 2), rows of texts and pictures, is a bad answer to it.
    pictures, captions: their items (n,) and (m,), 0 for the query of a mark; empty when they are of no library.
    """

    images: F32
    texts: F32 | None
    words: tuple[str, ...]
    owner: I64
    categories: I64 | None
    weights: F32
    negatives: I64
    pictures: I64 = field(default_factory=_nothing)
    captions: I64 = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.images)

    def of(self, pictures: I64) -> "StoredPairs":
        """The pairs of these pictures alone, given as ascending rows."""
        place = np.full(len(self), -1)
        place[pictures] = np.arange(len(pictures))
        kept = np.flatnonzero(place[self.owner] >= 0)
        row = np.full(len(self.owner), -1)
        row[kept] = np.arange(len(kept))
        wrong = np.stack([row[self.negatives[:, 0]], place[self.negatives[:, 1]]], axis=1)
        return StoredPairs(
            images=self.images[pictures],
            texts=None if self.texts is None else self.texts[kept],
            words=tuple(self.words[i] for i in kept),
            owner=place[self.owner[kept]],
            categories=None if self.categories is None else self.categories[pictures],
            weights=self.weights[kept],
            negatives=wrong[(wrong >= 0).all(axis=1)],
        )

    def parted(self, seed: int) -> tuple["StoredPairs", "StoredPairs"]:
        """Most pictures to learn from, and some set aside to stop by: a twentieth, but a hundred where there are."""
        aside = max(len(self) // 20, min(100, len(self) // 4))
        order = np.random.default_rng(seed).permutation(len(self))
        return self.of(np.sort(order[aside:])), self.of(np.sort(order[:aside]))


@dataclass(frozen=True, slots=True)
class Sides:
    """What is learned from, all languages together, and what is held out, by language. marks: how many are used."""

    train: StoredPairs
    held_out: Mapping[str, StoredPairs]
    marks: int


@dataclass(frozen=True, slots=True)
class _Said:
    """Words of a picture. caption: the item that has their embedding; None for the query of a mark."""

    picture: int
    words: str
    caption: int | None
    weight: float = 1.0


def load_pairs(
    catalog: Catalog, config: Config, encoder: EncoderRow, languages: Sequence[str], encode: Encode | None
) -> Sides:
    """The library's pairs in these languages, and the marks on pictures that are not held out.

    What is held out is there in the library's other languages too, after these: a head should lose nothing in them.

    encode: embeds the queries of marks. None: the training texts have no embeddings, for a head that reads words.
    Raises InvalidInput when there are no captions to learn from, or a stored vector is no number.
    """
    captions = {lang: captioned(catalog, lang) for lang in languages}
    if not any(captions.values()):
        raise InvalidInput(_wordless(catalog, languages))
    marks = _marks(catalog)
    parts = split(_together(catalog, captions.values(), marks), config.train, minimum=1)
    learned, held = {picture.id for picture in parts.train}, {picture.id for picture in parts.held_out}
    vectors = _Vectors(catalog, encoder, _categories(catalog, [*learned, *held]))
    queries = _embedded([mark.query for mark in marks], encode)
    used = [mark for mark in marks if mark.item_id in learned and mark.query in queries]
    said = [one for known in captions.values() for one in _said(known, learned)]
    said += [_Said(mark.item_id, mark.query, None, config.head.mark_weight if mark.good else 0.0) for mark in used]
    train = vectors.pairs(said, queries, embedded=encode is not None)
    captions |= {lang: captioned(catalog, lang) for lang in config.captions.languages if lang not in captions}
    judged = {lang: vectors.pairs(list(_said(known, held)), {}, embedded=True) for lang, known in captions.items()}
    judged = {lang: pairs for lang, pairs in judged.items() if len(pairs)}
    if not train.weights.any() or not judged:
        raise InvalidInput(
            f"{len(train):,} captioned pictures with stored vectors to train on, {sum(map(len, judged.values())):,} "
            "held out: run `rebus index` to embed what is not yet, or add captions"
        )
    return Sides(train, judged, len(used))


def load_held_out(
    catalog: Catalog, config: Config, encoder: EncoderRow, name: str
) -> dict[Modality, dict[str, StoredPairs]]:
    """The pairs of one split (see `splits.held_out`) by modality and language; what has none is left out.

    Raises InvalidInput when there are none at all, or a stored vector is no number.
    """
    captions = {lang: captioned(catalog, lang) for lang in config.captions.languages}
    if not any(captions.values()):
        raise InvalidInput(_wordless(catalog, config.captions.languages))
    together = {picture.id: picture for known in captions.values() for picture in known}
    held = {picture.id for picture in held_out(list(together.values()), config.train, name)}
    vectors, found = _Vectors(catalog, encoder, _categories(catalog, sorted(held))), {}
    for modality in _SEEN:
        sides = {lang: list(_said(known, held)) for lang, known in captions.items()}
        pairs = {lang: vectors.pairs(said, {}, embedded=True, of=[modality]) for lang, said in sides.items()}
        found[modality] = {lang: some for lang, some in pairs.items() if len(some)}
    found = {modality: by_language for modality, by_language in found.items() if by_language}
    if not found:
        many = f"{len(held):,} captioned pictures are of the split {name}"
        raise InvalidInput(
            f"{many}, and none of them is indexed: run `rebus index` first" if held else
            f"{many}, of {len(together):,}: name it beside the captions (`split`) and run `rebus index`"
            f"{', or measure on val, which Rebus chooses itself' if name != 'val' else ''}"
        )  # fmt: skip
    return found


def _together(catalog: Catalog, captions: Iterable[Sequence[Captioned]], marks: Sequence[Mark]) -> list[Captioned]:
    """Every picture that has a caption in any of the languages, or a mark."""
    words: dict[int, list[tuple[int, str]]] = {mark.item_id: [] for mark in marks}
    for picture in (picture for known in captions for picture in known):
        words.setdefault(picture.id, []).extend(zip(picture.caption_ids, picture.texts, strict=True))
    return pictures(catalog, words)


def _said(known: Sequence[Captioned], ids: Set[int]) -> Iterator[_Said]:
    for picture in known:
        if picture.id in ids:
            for caption, words in zip(picture.caption_ids, picture.texts, strict=True):
                yield _Said(picture.id, words, caption)


def _marks(catalog: Catalog) -> list[Mark]:
    """The last word that was said on each picture and each query of words alone."""
    query = sa.select(Mark).join(Item, Item.id == Mark.item_id).where(Mark.vector.is_(None)).order_by(Mark.id)
    with catalog.session() as session:
        rows = session.scalars(query.where(Item.removed_at.is_(None), Item.modality.in_(_SEEN)))
        return list({(mark.query, mark.item_id): mark for mark in rows}.values())


def _embedded(queries: Iterable[str], encode: Encode | None) -> dict[str, F32 | None]:
    """The queries that can be used, with their embeddings where any are wanted."""
    words = sorted(set(queries))
    if encode is None or not words:
        return dict.fromkeys(words)
    try:
        return dict(zip(words, encode(words), strict=True))
    except EncoderUnavailable:  # imported embeddings came without what makes more: such marks are left out
        return {}


def _categories(catalog: Catalog, ids: Sequence[int]) -> dict[int, int] | None:
    """The category of each picture that has one, as a number by the order of their names; None when none has."""
    named: dict[int, str] = {}
    with catalog.session() as session:
        for some in chunks(ids, 500):
            rows = session.execute(sa.select(Item.id, Item.category).where(Item.id.in_(some)))
            named |= {row.id: row.category for row in rows if row.category is not None}
    number = {name: n for n, name in enumerate(sorted(set(named.values())))}
    return {item: number[name] for item, name in named.items()} or None


def _wordless(catalog: Catalog, languages: Sequence[str]) -> str:
    with catalog.session() as session:
        others = sorted(session.scalars(sa.select(Caption.lang).distinct()))
    there = f" (there are some in {', '.join(others)}: name these with --lang)" if others else ""
    return (
        f"no picture of this library has a caption in {', '.join(languages)}{there}, so there is nothing to learn "
        "from. Pictures can be searched with pictures as they are. To search with words, add captions (NAME.txt beside "
        "NAME.jpg, or captions.jsonl) and run `rebus index`, or import embeddings with their captions"
    )


class _Vectors:
    """The stored embeddings of one encoder, and pairs of them."""

    def __init__(self, catalog: Catalog, encoder: EncoderRow, categories: Mapping[int, int] | None) -> None:
        self._catalog, self._encoder, self._categories = catalog, encoder, categories
        self._store = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, encoder.generation), encoder.dim)
        self._dims = dims_of(encoder)

    def pairs(
        self,
        said: Sequence[_Said],
        queries: Mapping[str, F32 | None],
        *,
        embedded: bool,
        of: Sequence[Modality] = _SEEN,
    ) -> StoredPairs:
        """Those whose picture has a stored vector, and whose caption has one where the encoder embeds words.

        of: what counts as a picture.
        """
        of_texts = Modality.TEXT in self._dims
        seen = self._places([one.picture for one in said], of)
        read = self._places([one.caption for one in said if one.caption], [Modality.TEXT]) if of_texts else {}
        kept = [one for one in said if one.picture in seen and (not of_texts or not one.caption or one.caption in read)]
        shown = sorted({one.picture for one in kept})
        row = {picture: n for n, picture in enumerate(shown)}
        owner = np.array([row[one.picture] for one in kept], np.int64)
        texts = None
        if embedded and of_texts:
            stored = iter(self._read([read[one.caption] for one in kept if one.caption], Modality.TEXT))
            texts = np.array([next(stored) if one.caption else queries[one.words] for one in kept], np.float32)
        weights = np.array([one.weight for one in kept], np.float32)
        bad = np.flatnonzero(weights == 0)
        known = self._categories
        return StoredPairs(
            images=self._read([seen[picture] for picture in shown], Modality.IMAGE),
            texts=texts,
            words=tuple(one.words for one in kept),
            owner=owner,
            categories=None if known is None else np.array([known.get(picture, -1) for picture in shown], np.int64),
            weights=weights,
            negatives=np.stack([bad, owner[bad]], axis=1),
            pictures=np.array(shown, np.int64),
            captions=np.array([one.caption or 0 for one in kept], np.int64),
        )

    def _places(self, ids: Sequence[int], modalities: Sequence[Modality]) -> dict[int, tuple[int, int]]:
        """Shard and row of the present items among these that have an embedding."""
        query = sa.select(Embedding.item_id, Embedding.shard, Embedding.row).join(Item, Item.id == Embedding.item_id)
        query = query.where(Embedding.encoder_id == self._encoder.id, Item.modality.in_(modalities))
        found: dict[int, tuple[int, int]] = {}
        with self._catalog.session() as session:
            for some in chunks(sorted(set(ids)), 500):
                rows = session.execute(query.where(Item.id.in_(some), Item.removed_at.is_(None)))
                found |= {row.item_id: (row.shard, row.row) for row in rows}
        return found

    def _read(self, places: Sequence[tuple[int, int]], modality: Modality) -> F32:
        """Stored vectors (n, d), of the modality's own width. Raises InvalidInput for what is no number."""
        located = np.array(places, np.int64).reshape(-1, 2)
        rows = self._store.read(located[:, 0], located[:, 1])[:, : self._dims[modality]]
        broken = int((~np.isfinite(rows).all(axis=1)).sum())
        if broken:
            raise InvalidInput(
                f"{broken:,} stored {modality} vectors hold values that are no numbers: `rebus doctor --deep --repair` "
                "drops them; index or import their files again"
            )
        return rows
