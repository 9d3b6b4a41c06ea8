"""A plan of codes: which to keep, in lists or not, and how deep to look, for a memory budget and a wanted recall.

Every plan is measured on the library itself: codes are trained and made for all its items, as a version has them.
Queries that training has not seen ask for those of the kind that the library has most of, as deep as the wanted recall
takes.

What codes take beside themselves (rotations, codebooks) is measured too: of each family sizes are tried downwards from
the largest that might fit, until two do, or one recalls too little; all hash codes, where all vectors are compared.
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

from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.config import CodecSettings
from engine.errors import ArtifactError, NotReady
from engine.index import FaissBackend
from engine.store import EmbeddingStore, HeldRows
from engine.types import F32, Modality
from engine.versions import LiveIndex, embeddings_after, load_head, load_index, store_of
from engine.words import readable_bytes
from indexer.build import Asking, Recipe, delta_limit, write_index
from indexer.codecs.depths import FIRST
from indexer.codecs.fit import TRAINED_FROM
from indexer.evaluation.memory import resident_bytes
from indexer.jobs import Tell, measuring
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
_HASH, _LISTS = "hash codes", "product codes in lists"
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
    """What was measured, by memory. chosen: as `of` chooses. items: of how many it was measured."""

    plans: list[Plan]
    memory: int
    wanted: float
    chosen: Plan | None
    items: int = 0

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
            said += f"; the nearest possible plan is {least.name}, with --memory {_enough(least.bytes)}"
        elif not fit:
            most = max(self.plans, key=lambda plan: plan.recall)
            said += f"; the nearest possible plan is {most.name}, with --memory {_enough(most.bytes)}"
            said += f" --recall {_reached(most)}"
        if fit:
            most = max(fit, key=lambda plan: plan.recall)
            said += f"; {most.name} fits with --recall {_reached(most)}"
        return said


def plan(catalog: Catalog, encoder: EncoderRow, memory: int, wanted: float, tell: Tell) -> Plans:
    """Measure what fits into so many bytes, and what nearly does. Others may write to the library meanwhile.

    Raises NotReady where nothing is embedded, or embeddings were moved meanwhile, LibraryBusy when another process
    plans, ArtifactError when the served head is damaged.
    """
    found, served = embeddings_after(catalog, encoder.id, 0), catalog.current_version()
    if not found:
        raise NotReady("nothing is embedded yet: run `rebus index FOLDER`")
    head = load_head(catalog, served.head_id if served and served.encoder_id == encoder.id else None, encoder)
    store = store_of(catalog.home, encoder, encoder.generation, head)
    sources = sources_of(catalog, head, store, found)
    sources = dict(sorted(sources.items(), key=lambda pair: -len(pair[1].ids)))
    asked = partial(queries_for, catalog, head, sources=sources)
    try:
        with measuring(catalog) as place:
            plans = _tried(memory, wanted, sources, partial(_measured, place, sources=sources, asked=asked), tell)
    except ArtifactError:
        with catalog.session() as session:
            if session.get_one(EncoderRow, encoder.id).generation == encoder.generation:
                raise
        raise NotReady("embeddings were compacted while plans were measured: run the same command again") from None
    return replace(Plans.of(plans, memory, wanted), items=_items(sources))


def check_current(catalog: Catalog, plans: Plans, served: IndexVersion) -> None:
    """Whether a plan may be built, of what is in the catalog now; the caller holds the write lock.

    served: what was when it was measured. Raises NotReady when it must be measured again.
    """
    now, again = catalog.current_version(), "while plans were measured: run the same command again"
    if now is None or (now.encoder_id, now.head_id) != (served.encoder_id, served.head_id):
        raise NotReady(f"another encoder or head came to be served {again}")
    items = len(embeddings_after(catalog, served.encoder_id, 0))
    if plans.chosen and items > plans.items and plans.chosen.bytes * items > plans.memory * plans.items:
        raise NotReady(f"the library grew from {plans.items:,} to {items:,} items, too many for its plan, {again}")


def _items(sources: dict[Modality, Source]) -> int:
    return sum(len(one.ids) for one in sources.values())


def _tried(
    memory: int, wanted: float, sources: dict[Modality, Source], measure: Callable[[str, Recipe], Plan], tell: Tell
) -> list[Plan]:
    """Sizes downwards by family; where no plan recalls enough, larger ones too, until the first that does."""
    families, plans = _families(max(len(one.ids) for one in sources.values())), list[Plan]()
    down = {family: _downwards(sizes, memory / _items(sources)) for family, sizes in families.items()}
    done, total = 0, sum(map(len, down.values()))

    def tried(family: str, size: float, codec: CodecSettings) -> Plan:
        name = f"{family}, {size:.0f} bytes"
        tell(name, done, total)
        plans.append(measure(name, Recipe(codec, wanted, planned=True)))
        return plans[-1]

    for family, sizes in down.items():
        fit = 0
        if family not in (_HASH, _LISTS) and any(_served(plan, memory, wanted) for plan in plans):
            done += len(sizes)
            continue
        for number, (size, codec) in enumerate(sizes):
            one = tried(family, size, codec)
            fit += one.bytes <= memory
            done += 1
            if _done(family, one, fit, memory, wanted):
                done += len(sizes) - number - 1
                break
    more = [(size, family, codec) for family, sizes in families.items() for size, codec in sizes]
    more = sorted(row for row in more if row[0] > max(size for size, _ in down[row[1]]))
    total += len(more)
    for size, family, codec in more:
        if any(plan.scanned or plan.recall >= wanted for plan in plans):
            break
        tried(family, size, codec)
        done += 1
    tell("measured", total, total)
    return plans


def _served(plan: Plan, memory: int, wanted: float) -> bool:
    """Whether lists do what is wanted, which are quicker than codes of one byte a part that are all read.

    Those take minutes a size to train.
    """
    return plan.name.startswith(_LISTS) and not plan.scanned and plan.bytes <= memory and plan.recall >= wanted


def _done(family: str, one: Plan, fit: int, memory: int, wanted: float) -> bool:
    """Whether smaller codes of a family need not be tried, when so many of them fit.

    Smaller than those that recall too little they recall less: hash codes cost little to try, others minutes. Where
    all vectors are compared, the smallest that recall enough are what is wanted.
    """
    if family != _HASH and one.bytes <= memory and one.recall < wanted:
        return True
    return fit >= _ENOUGH and not one.scanned


def _families(count: int) -> Families:
    """The codes that so many items can have."""

    def whole(kind: Kind) -> list[tuple[float, CodecSettings]]:
        return [(bits / 8, CodecSettings(kind, bits, _NEVER)) for bits in BITS[kind]]

    families = {_HASH: whole("hashing")}
    if count >= _LISTS_FROM:
        few = max(TRAINED_FROM, count // 10)
        families[_LISTS] = [(parts / 2, CodecSettings(lists_from=few, parts=parts)) for parts in PARTS]
    if count >= TRAINED_FROM:
        families |= {"product codes": whole("pq"), "additive codes": whole("vq")}
    return families


def _downwards(sizes: list[tuple[float, CodecSettings]], cap: float) -> list[tuple[float, CodecSettings]]:
    """The codes themselves no larger than `cap` bytes an item and the smallest beyond, the largest first."""
    return sizes[sum(size <= cap for size, _ in sizes) :: -1]


def _enough(size: int) -> str:
    """A budget of at least so many bytes, as --memory reads it."""
    return f"{-(-size // 1000)}kB" if size < 10**6 else f"{-(-size // 10**6)}MB"


def _reached(plan: Plan) -> str:
    """The recall that a plan has, as --recall reads it."""
    return f"{min(0.99, max(0.01, int(plan.recall * 100) / 100)):.2f}"


def _measured(place: Path, name: str, recipe: Recipe, sources: dict[Modality, Source], asked: Asked) -> Plan:
    """The plan, of an index of each modality, the largest first; the files are thrown away."""
    found = [_alone(place, name, recipe, modality, one, partial(asked, modality)) for modality, one in sources.items()]
    held = {name: size for plan in found for name, size in plan.held.items()}
    total = _items(sources)
    delta = math.ceil(sum(plan.delta for plan in found) * delta_limit(total) / total)
    return replace(found[0], bytes=sum(held.values()), held=held, delta=delta)


def _alone(place: Path, name: str, recipe: Recipe, modality: Modality, source: Source, asking: Asking) -> Plan:
    """What one modality alone would say of a plan."""
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=place) as temporary:
        folder, dim = Path(temporary), source.read(np.arange(1)).shape[1]
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
