"""A plan of codes: which to keep, in lists or not, and how deep to look, for a memory budget and a wanted recall.

Every plan is measured on the library itself: codes are trained and made for all items of the kind that the library has
most of, and queries that training has not seen ask for them, as deep as the wanted recall takes.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from engine.catalog import Catalog, EncoderRow
from engine.config import CodecSettings
from engine.errors import NotReady
from engine.store import EmbeddingStore, HeldRows, store_folder
from engine.types import Modality
from engine.versions import embeddings_after, load_head, load_index
from engine.words import readable_bytes
from indexer.build import Asking, Recipe, write_index
from indexer.codecs.fit import TRAINED_FROM
from indexer.evaluation.memory import resident_bytes
from indexer.jobs import Tell
from indexer.sources import Source, queries_for, sources_of

Kind = Literal["hashing", "pq", "vq"]
BITS: dict[Kind, tuple[int, ...]] = {
    "hashing": (64, 128, 256, 512, 1024),
    "pq": (64, 128, 256, 320, 512),
    "vq": (64, 128, 256, 320, 512),
}
PARTS = (32, 64, 96, 128)
_LISTS_FROM, _NEVER = 20_000, 1 << 40  # lists of fewer items are shorter to scan whole
_BESIDE, _SCANNED = 1, 11  # bytes an item beside its code: whether it lives; with its place and list


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to keep the codes, as measured. bytes: of memory, for all items of the library. ms: of one query.

    tried: all depths that were measured, each with probes, candidates, recall and ms.
    """

    name: str
    codec: CodecSettings
    bytes: int
    probes: int
    candidates: int
    recall: float
    ms: float
    tried: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Plans:
    """What was measured, by memory. chosen: the quickest within the budget that recalls as much as is wanted."""

    plans: list[Plan]
    memory: int
    wanted: float
    chosen: Plan | None

    def refusal(self) -> str:
        """Why none was chosen, and the nearest that is possible."""
        said = f"no codes of this library fit into {readable_bytes(self.memory)} and recall {self.wanted:.2f}"
        reach = [plan for plan in self.plans if plan.recall >= self.wanted]
        fit = [plan for plan in self.plans if plan.bytes <= self.memory]
        if reach:
            least = min(reach, key=lambda plan: plan.bytes)
            said += f"; {least.name} would with --memory {-(-least.bytes // 1_000_000)}MB"
        if fit:
            most = max(fit, key=lambda plan: plan.recall)
            said += f"; {most.name} fits with --recall {int(most.recall * 100) / 100:.2f}"
        return said


def plan(catalog: Catalog, encoder: EncoderRow, memory: int, wanted: float, tell: Tell) -> Plans:
    """Measure what may fit into so many bytes, and the smallest that do not.

    Raises NotReady where nothing is embedded, ArtifactError when the served head is damaged.
    """
    found, served = embeddings_after(catalog, encoder.id, 0), catalog.current_version()
    if not found:
        raise NotReady("nothing is embedded yet: run `rebus index FOLDER`")
    head = load_head(catalog, served.head_id if served and served.encoder_id == encoder.id else None, encoder)
    store = EmbeddingStore(store_folder(catalog.home, encoder.fingerprint, encoder.generation), encoder.dim)
    sources = sources_of(catalog, head, store, found)
    modality, source = max(sources.items(), key=lambda pair: len(pair[1].ids))
    total = sum(len(one.ids) for one in sources.values())
    asking = partial(queries_for, catalog, head, modality, sources)
    todo, plans = list(_worth_trying(len(source.ids), memory / total)), list[Plan]()
    for number, (name, codec) in enumerate(todo):
        tell(f"measuring {name}", number, len(todo))
        facts, size = _measured(Recipe(codec, wanted, planned=True), modality, source, asking, head.aligner.dim)
        best = facts["depths"]
        ms = min(row["ms"] for row in facts["tried"] if all(row[key] == best[key] for key in best))
        depths = (best["probes"], best["candidates"], best["recall"])
        plans.append(Plan(name, codec, round(size * total), *depths, ms, facts["tried"]))
    tell("measured", len(todo), len(todo))
    plans.sort(key=lambda one: one.bytes)
    good = [one for one in plans if one.bytes <= memory and one.recall >= wanted]
    return Plans(plans, memory, wanted, min(good, key=lambda one: one.ms, default=None))


def _worth_trying(count: int, cap: float) -> Iterator[tuple[str, CodecSettings]]:
    """Of each family the two largest codes within `cap` bytes an item, and the smallest beyond."""

    def whole(kind: Kind) -> list[tuple[float, CodecSettings]]:
        return [(bits / 8, CodecSettings(kind, bits, _NEVER)) for bits in BITS[kind]]

    families = {"hash codes": whole("hashing")}
    if count >= TRAINED_FROM:
        families |= {"product codes": whole("pq"), "additive codes": whole("vq")}
    if count >= _LISTS_FROM:
        few = max(TRAINED_FROM, count // 10)
        families["product codes in lists"] = [
            (parts / 2, CodecSettings(lists_from=few, parts=parts)) for parts in PARTS
        ]
    for family, sizes in families.items():
        beside = _BESIDE if family == "hash codes" else _SCANNED
        fit = [size for size, _ in sizes if size + beside <= cap]
        for size, codec in sizes[max(0, len(fit) - 2) : len(fit) + 1]:
            yield f"{family}, {size:.0f} bytes", codec


def _measured(
    recipe: Recipe, modality: Modality, source: Source, asking: Asking, dim: int
) -> tuple[dict[str, Any], float]:
    """What a manifest would say, and bytes of memory an item; the files are thrown away."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        own = EmbeddingStore(folder, dim)
        facts = write_index(folder, modality, source, asking, own, recipe, lambda *_: None)
        store = source.kept.store if source.kept is not None else own
        index = load_index(folder, modality, facts, store, HeldRows.none(dim))
        return facts, resident_bytes(index) / len(source.ids)
