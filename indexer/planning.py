"""A plan of codes: which to keep, in lists or not, and how deep to look, for a memory budget and a wanted recall.

Every plan is measured on the library itself: codes are trained and made for all its items, as a version has them.
Queries that training has not seen ask for those of the kind that the library has most of, as deep as the wanted recall
takes.

What codes take beside themselves (rotations, codebooks) is measured too: of each family sizes are tried downwards from
the largest that might fit, until two do; all, where the codes are not what takes the time.
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.catalog import Catalog, EncoderRow
from engine.config import CodecSettings
from engine.errors import NotReady
from engine.index import FaissBackend
from engine.store import EmbeddingStore, HeldRows
from engine.types import F32, Modality
from engine.versions import LiveIndex, embeddings_after, load_head, load_index, store_of
from engine.words import readable_bytes
from indexer.build import Asking, Recipe, delta_limit, write_index
from indexer.codecs.depths import FIRST
from indexer.codecs.fit import TRAINED_FROM
from indexer.evaluation.memory import resident_bytes
from indexer.jobs import Tell
from indexer.sources import Source, queries_for, sample, sources_of

Kind = Literal["hashing", "pq", "vq"]
BITS: dict[Kind, tuple[int, ...]] = {
    "hashing": (64, 128, 256, 512, 1024),
    "pq": (64, 128, 256, 320, 512),
    "vq": (64, 128, 256, 320, 512),
}
PARTS = (32, 64, 96, 128)
_LISTS_FROM, _NEVER = 10_000, 1 << 40  # fewer items are compared whole in half a millisecond
_ENOUGH = 2  # sizes of a family that fit: smaller ones find less
_TIMED = 50
Asked = Callable[[Modality], tuple[F32 | None, F32 | None]]  # what will ask for a modality, as `queries_for` says
Families = dict[str, list[tuple[float, CodecSettings]]]  # bytes of a code, ascending


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to keep the codes, as measured. ms: of one query.

    bytes: of memory, for all items of the library; held: those of each modality. delta: bytes that a delta takes beside
    them when it is as large as it may become. scanned: whether searches without a filter compare all vectors instead,
    which takes no longer; ms is of that, and only a GPU, or a library that has grown, looks into the codes. tried: all
    depths that were measured, each with probes, candidates, recall and ms.
    """

    name: str
    codec: CodecSettings
    bytes: int
    probes: int
    candidates: int
    recall: float
    ms: float
    scanned: bool
    tried: list[dict[str, Any]]
    held: dict[str, int] = field(default_factory=dict)
    delta: int = 0


@dataclass(frozen=True, slots=True)
class Plans:
    """What was measured, by memory. chosen: as `of` chooses."""

    plans: list[Plan]
    memory: int
    wanted: float
    chosen: Plan | None

    @classmethod
    def of(cls, plans: Sequence[Plan], memory: int, wanted: float) -> "Plans":
        """The quickest within the budget that recalls as much as is wanted is chosen, of equals the smallest.

        Where a scan answers it finds all, whatever the codes; still those come first that recall enough by themselves.
        """
        scan = min((plan.ms for plan in plans if plan.scanned), default=0.0)  # one scan for all: they differ by noise
        plans = sorted(
            (replace(plan, ms=scan) if plan.scanned else plan for plan in plans), key=lambda plan: plan.bytes
        )
        good = [plan for plan in plans if plan.bytes <= memory and (plan.scanned or plan.recall >= wanted)]
        # A tenth of a millisecond is noise, and codebooks cost minutes at each build.
        chosen = min(good, key=lambda plan: (plan.recall < wanted, round(plan.ms, 1), plan.bytes), default=None)
        return cls(plans, memory, wanted, chosen)

    def refusal(self) -> str:
        """Why none was chosen, and the nearest that is possible."""
        said = f"no codes of this library fit into {readable_bytes(self.memory)} and recall {self.wanted:.2f}"
        reach = [plan for plan in self.plans if plan.scanned or plan.recall >= self.wanted]
        fit = [plan for plan in self.plans if plan.bytes <= self.memory]
        if reach:
            least = min(reach, key=lambda plan: plan.bytes)
            said += f"; {least.name} would with --memory {_enough(least.bytes)}"
        if fit:
            most = max(fit, key=lambda plan: plan.recall)
            said += f"; {most.name} fits with --recall {int(most.recall * 100) / 100:.2f}"
        return said


def plan(catalog: Catalog, encoder: EncoderRow, memory: int, wanted: float, tell: Tell) -> Plans:
    """Measure what fits into so many bytes, and what nearly does.

    Raises NotReady where nothing is embedded, ArtifactError when the served head is damaged.
    """
    found, served = embeddings_after(catalog, encoder.id, 0), catalog.current_version()
    if not found:
        raise NotReady("nothing is embedded yet: run `rebus index FOLDER`")
    head = load_head(catalog, served.head_id if served and served.encoder_id == encoder.id else None, encoder)
    store = store_of(catalog.home, encoder, encoder.generation, head)
    sources = sources_of(catalog, head, store, found)
    sources = dict(sorted(sources.items(), key=lambda pair: -len(pair[1].ids)))
    total = sum(len(one.ids) for one in sources.values())
    plans, families = list[Plan](), _families(max(len(one.ids) for one in sources.values()))
    for number, (family, sizes) in enumerate(families.items()):
        fit = 0
        for size, codec in _downwards(sizes, memory / total):
            name = f"{family}, {size:.0f} bytes"
            tell(f"measuring {name}", number, len(families))
            recipe = Recipe(codec, wanted, planned=True)
            one = _measured(name, recipe, sources, partial(queries_for, catalog, head, sources=sources))
            plans.append(one)
            fit += plans[-1].bytes <= memory
            if fit >= _ENOUGH and not one.scanned:
                break
    tell("measured", len(families), len(families))
    return Plans.of(plans, memory, wanted)


def _families(count: int) -> Families:
    """The codes that so many items can have."""

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
    return families


def _downwards(sizes: list[tuple[float, CodecSettings]], cap: float) -> list[tuple[float, CodecSettings]]:
    """The codes themselves no larger than `cap` bytes an item and the smallest beyond, the largest first."""
    return sizes[sum(size <= cap for size, _ in sizes) :: -1]


def _enough(size: int) -> str:
    """A budget of at least so many bytes, as --memory reads it."""
    return f"{-(-size // 1000)}kB" if size < 10**6 else f"{-(-size // 10**6)}MB"


def _measured(name: str, recipe: Recipe, sources: dict[Modality, Source], asked: Asked) -> Plan:
    """The plan, of an index of each modality, the largest first; the files are thrown away."""
    found = [_alone(name, recipe, modality, one, partial(asked, modality)) for modality, one in sources.items()]
    held = {name: size for plan in found for name, size in plan.held.items()}
    total = sum(len(one.ids) for one in sources.values())
    delta = math.ceil(sum(plan.delta for plan in found) * delta_limit(total) / total)
    return replace(found[0], bytes=sum(held.values()), held=held, delta=delta)


def _alone(name: str, recipe: Recipe, modality: Modality, source: Source, asking: Asking) -> Plan:
    """What one modality alone would say of a plan."""
    with tempfile.TemporaryDirectory() as place:
        folder, dim = Path(place), source.read(np.arange(1)).shape[1]
        own = EmbeddingStore(folder, dim)
        facts = write_index(folder, modality, source, asking, own, recipe, lambda *_: None)
        store = source.kept.store if source.kept is not None else own
        index = load_index(folder, modality, facts, store, HeldRows.none(dim))
        best, held = facts["depths"], resident_bytes(index)
        scanned = index.scan_pays(None, best["candidates"])
        ms = min(row["ms"] for row in facts["tried"] if all(row[key] == best[key] for key in best))
        ms = _scan_ms(index, source) if scanned else ms
        depths = (best["probes"], best["candidates"], best["recall"])
        about = {str(modality): held}, _delta_bytes(index, source)
        return Plan(name, recipe.codec, held, *depths, ms, scanned, facts["tried"], *about)


def _delta_bytes(index: LiveIndex, source: Source) -> int:
    """What a delta of all these rows would take."""
    some = sample(len(source.ids))
    rows = source.kept.take(some) if source.kept is not None else HeldRows(source.read(some))
    delta = FaissBackend(index.delta.bits, rows.take(some[:0]))
    delta.upsert(source.ids[some], index.codec.quantize(source.read(some)), rows, {})
    return math.ceil(resident_bytes(delta) / len(some) * len(source.ids))


def _scan_ms(index: LiveIndex, source: Source) -> float:
    """Milliseconds of one query that is compared with all vectors."""
    queries = source.read(sample(len(source.ids))[:_TIMED])
    index.exact(queries[:1], FIRST, None)
    started = time.perf_counter()
    for query in queries:
        index.exact(query[None], FIRST, None)
    return round((time.perf_counter() - started) * 1000 / len(queries), 4)
