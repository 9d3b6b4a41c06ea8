"""How well a library answers, on pictures held out from training: exact beside the cascade, with time and bytes."""

from collections.abc import Mapping
from typing import Any

from engine.catalog import Catalog, EncoderRow, HeadRow, dims_of
from engine.config import Config
from engine.errors import InvalidInput, NotReady
from engine.heads import Head
from engine.search import Searcher
from engine.status import head_facts
from engine.types import Modality
from engine.versions import Version
from indexer.evaluation.cascade import answers, compare, through_index
from indexer.evaluation.costs import bytes_per_item, latency, modalities
from indexer.evaluation.quality import Measured, described, gain, histogram, measure, recall_curve, worst_queries
from indexer.heads.stored_pairs import StoredPairs, load_held_out
from indexer.jobs import Tell
from indexer.splits import SPLITS

_STEPS = 5
Pairs = Mapping[Modality, dict[str, StoredPairs]]


def evaluate(config: Config, tell: Tell, split: str = "val") -> dict[str, Any]:
    """Figures of the published version on the held-out pictures of a split and their captions, as JSON values.

    README's table of keys says what each is; recalls are fractions, ranks begin at 1, intervals are of 95 %. The plain
    figures are of pictures (films, where there are no others) and the first language that has captions.

    Memory holds the held-out pairs of all languages, twice in float32, and blocks of scores; never the library.
    Raises NotReady without a version that words search, InvalidInput for an unknown split or one without captions.
    """
    if split not in SPLITS:
        raise InvalidInput(f"there is no split {split!r} to measure on: choose {' or '.join(SPLITS)}")
    catalog = Catalog(config)
    searcher = Searcher(config, catalog)
    version = searcher.version
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, version.encoder_id)
    pairs = _held_out(catalog, config, version, encoder, split)
    of, by_language = next(iter(pairs.items()))
    language, first = next(iter(by_language.items()))
    tell("exact search", 0, _STEPS)
    served = measure(version.head, first)
    exact = described(served)
    tell("by language and modality", 1, _STEPS)
    languages = {lang: described(measure(version.head, some)) for lang, some in by_language.items() if lang != language}
    tell("the cascade", 2, _STEPS)
    depth = config.search.candidates
    captions = version.indexes[Modality.TEXT]
    to_images, to_texts = answers(by_language, language)
    stages = {
        "text_to_image": compare(version.indexes[of], served.texts, to_images, version.indexes[of].depth or depth),
        "image_to_text": compare(captions, served.images, to_texts, captions.depth or depth),
    }
    cascade = through_index(version, first, served, of, depth)
    tell("without a head", 3, _STEPS)
    identity = _identity(version, encoder, first, served)
    tell("timing queries", 4, _STEPS)
    asked, took = latency(searcher, first.words, first.captions.tolist(), of)
    tell("timing queries", 5, _STEPS)
    figures = {
        "index_version": version.id,
        "encoder": version.fingerprint,
        "head": version.head_id,
        "split": split,
        "language": language,
        "modality": str(of),
        "images": exact["images"],
        "captions": exact["captions"],
        "exact": exact["figures"],
        "intervals": exact["intervals"],
        "cascade": cascade,
        "agreement_at_10": {way: facts["agreement"] for way, facts in stages.items()},
        "stages": stages,
        "candidates": depth,
        "recall_curve": recall_curve(served),
        "rank_histogram": histogram(served),
        "modalities": _modalities(catalog, version, pairs, {of: exact}),
        "languages": {language: exact, **languages},
        "identity": identity,
        "heads": head_facts(catalog),
        "bytes_per_item": bytes_per_item(catalog, version),
        "latency_ms": took,
        "latency_of": asked,
        "worst_queries": worst_queries(catalog, first, served),
        "settings": _settings(catalog, config, version, encoder),
    }
    catalog.engine.dispose()
    return figures


def _held_out(catalog: Catalog, config: Config, version: Version, encoder: EncoderRow, split: str) -> Pairs:
    """The pairs to measure on, of the modalities that words can find."""
    head = version.head
    words = head.reads_words and head.compares(Modality.IMAGE, Modality.TEXT) and Modality.TEXT in version.indexes
    if not words or not {Modality.IMAGE, Modality.VIDEO} & set(version.indexes):
        raise NotReady(
            "the version holds no captioned pictures that words find: run `rebus index` on a folder with captions, "
            "or `rebus train` where pictures alone have vectors"
        )
    return load_held_out(catalog, config, encoder, split)


def _identity(version: Version, encoder: EncoderRow, pairs: StoredPairs, served: Measured) -> dict[str, Any] | None:
    """What the encoder's own space gives beside a head, where words and pictures share it."""
    identity = Head.identity(dims_of(encoder))
    if version.head.is_identity or pairs.texts is None or not identity.compares(Modality.IMAGE, Modality.TEXT):
        return None
    plain = measure(identity, pairs)
    return {**described(plain), "gain": gain(served, plain)}


def _modalities(
    catalog: Catalog, version: Version, pairs: Pairs, known: Mapping[Modality, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Counts and bytes of each modality, and the figures of those that have held-out captions."""
    found: dict[str, dict[str, Any]] = {name: {**facts} for name, facts in modalities(catalog, version).items()}
    for of, by_language in pairs.items():
        facts = known.get(of) or described(measure(version.head, next(iter(by_language.values()))))
        found.setdefault(str(of), {})["held_out"] = facts
    return found


def _settings(catalog: Catalog, config: Config, version: Version, encoder: EncoderRow) -> dict[str, Any]:
    """What the figures depend on."""
    with catalog.session() as session:
        head = session.get(HeadRow, version.head_id) if version.head_id is not None else None
    return {
        "encoder": encoder.spec,
        "head": f"{head.id}, {head.method}" if head else "none",
        "dimensions": version.head.aligner.dim,
        "codec.bits": next(iter(version.indexes.values())).delta.bits,
        "search.candidates": config.search.candidates,
        "search.threads": config.search.threads,
        "captions.languages": ", ".join(config.captions.languages),
        "train.held_out": config.train.held_out,
    }
