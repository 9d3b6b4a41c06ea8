"""A plan of codes: which to keep, in lists or not, and how deep to look, for a memory budget and a wanted recall.

Every plan is measured on the library itself: codes are trained and made for all its items, as a version has them.
Queries that training has not seen ask for each kind of items, as deep as the wanted recall takes. What a plan says is
of the kind that the library has most of, unless another recalls too little.

What codes take of memory, with what belongs to them (rotations, codebooks), does not depend on training, and is known
first. Of each family those sizes are tried that fit, downwards, until two are, or one recalls too little; all hash
codes, where all vectors are compared. What takes minutes to train is tried last, and only where it is needed.
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.config import CodecSettings
from engine.errors import ArtifactError, NotReady
from engine.index import FaissBackend
from engine.store import HeldRows
from engine.types import F32, Modality
from engine.versions import LiveIndex, embeddings_after, load_head, load_index, store_of
from engine.words import readable_bytes
from indexer.build import Asking, Recipe, delta_limit, write_index
from indexer.codecs.depths import FIRST
from indexer.codecs.fit import TRAINED_FROM
from indexer.evaluation.memory import resident_bytes
from indexer.jobs import Tell, measuring
from indexer.sources import Source, queries_for, sample, sources_of
from indexer.weighing import laid, weight

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
_HASH, _LISTS, _PRODUCT, _ADDITIVE = "hash codes", "product codes in lists", "product codes", "additive codes"
Asked = Callable[[Modality], tuple[F32 | None, F32 | None]]  # what will ask for a modality, as `queries_for` says


@dataclass(frozen=True, slots=True)
class Size:
    """Codes of a family that items can have. code: bytes of each."""

    family: str
    code: float
    codec: CodecSettings

    @property
    def name(self) -> str:
        return f"{self.family}, {self.code:.0f} bytes"


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to keep the codes, as measured. ms: of one query.

    bytes: of memory, for all items of the library; held: those of each modality. modality: the one that depths, recall
    and ms are of. delta: bytes that a delta takes beside them when it is as large as it may become. scanned:
    whether searches without a filter compare all vectors instead, which takes no longer; ms is of that, and only a GPU,
    or a library that has grown, looks into the codes. tried: all depths that were measured, each with probes,
    candidates, recall and ms.
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
    modality: str = ""
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
        recall = str(self.wanted).ljust(4, "0")  # as it was asked for: 0.999 is not 1.00
        said = f"no codes of this library fit into {readable_bytes(self.memory)} and recall {recall}"
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
    try:
        with measuring(catalog) as place:
            place.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".tmp-", dir=place) as folder:
                kept = {modality: laid(source, Path(folder, modality)) for modality, source in sources.items()}
                asked = cache(partial(queries_for, catalog, head, sources=kept))
                weigh = partial(_weighed, place, sources=kept)
                measure = partial(_measured, place, sources=sources, kept=kept, asked=asked)
                plans = tried(memory, wanted, max(len(one.ids) for one in sources.values()), weigh, measure, tell)
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


def tried(
    memory: int,
    wanted: float,
    count: int,
    weigh: Callable[[Size], int],
    measure: Callable[[Size, float], Plan],
    tell: Tell,
) -> list[Plan]:
    """What fits by family, the largest first; where nothing recalls enough, larger ones too, until the first that does.

    count: items of the modality that has most. weigh: bytes, without training. Of hash codes, which cost little, the
    smallest that do not fit are tried as well: what a little more memory would give.
    """
    families = _families(count)
    weights = {size: weigh(size) for sizes in families.values() for size in sizes}
    first = {family: _downwards(sizes, weights, memory) for family, sizes in families.items()}
    plans, done, total = list[Plan](), 0, sum(map(len, first.values()))

    def measured(size: Size) -> Plan:
        tell(size.name, done, total)
        plans.append(measure(size, wanted))
        return plans[-1]

    for family, sizes in first.items():
        fit = 0
        if family in (_PRODUCT, _ADDITIVE) and any(one.bytes <= memory and one.recall >= wanted for one in plans):
            done += len(sizes)
            continue
        for number, size in enumerate(sizes):
            one = measured(size)
            fit += one.bytes <= memory
            done += 1
            if _done(family, one, fit, memory, wanted):
                done += len(sizes) - number - 1
                break
    known = {size for sizes in first.values() for size in sizes}
    more = sorted((size for size in weights if size not in known), key=weights.__getitem__)
    total += len(more)
    for size in more:
        if any(plan.scanned or plan.recall >= wanted for plan in plans):
            break
        measured(size)
        done += 1
    tell("measured", total, total)
    return plans


def _done(family: str, one: Plan, fit: int, memory: int, wanted: float) -> bool:
    """Whether smaller codes of a family need not be tried, when so many of them fit.

    Smaller than those that recall too little they recall less: hash codes cost little to try, others minutes. Where
    all vectors are compared, the smallest that recall enough are what is wanted.
    """
    if family != _HASH and one.bytes <= memory and one.recall < wanted:
        return True
    return fit >= _ENOUGH and not one.scanned


def _families(count: int) -> dict[str, list[Size]]:
    """The codes that so many items can have, each family ascending.

    Those that are read whole and trained for minutes come last: they are searched no quicker than hash codes are.
    """

    def whole(family: str, kind: Kind) -> list[Size]:
        return [Size(family, bits / 8, CodecSettings(kind, bits, _NEVER)) for bits in BITS[kind]]

    families = {_HASH: whole(_HASH, "hashing")}
    if count >= _LISTS_FROM:
        few = max(TRAINED_FROM, count // 10)
        families[_LISTS] = [Size(_LISTS, parts / 2, CodecSettings(lists_from=few, parts=parts)) for parts in PARTS]
    if count >= TRAINED_FROM:
        families |= {_PRODUCT: whole(_PRODUCT, "pq"), _ADDITIVE: whole(_ADDITIVE, "vq")}
    return families


def _downwards(sizes: list[Size], weights: dict[Size, int], memory: int) -> list[Size]:
    """Those that fit, the largest first, after the smallest hash codes that do not."""
    fit = [size for size in sizes if weights[size] <= memory]
    beyond = [size for size in sizes if weights[size] > memory and size.family == _HASH]
    return beyond[:1] + fit[::-1]


def _enough(size: int) -> str:
    """A budget of at least so many bytes, as --memory reads it."""
    return f"{-(-size // 1000)}kB" if size < 10**6 else f"{-(-size // 10**6)}MB"


def _reached(plan: Plan) -> str:
    """The recall that a plan has, as --recall reads it."""
    return f"{min(0.99, max(0.01, int(plan.recall * 100) / 100)):.2f}"


def _weighed(place: Path, size: Size, sources: dict[Modality, Source]) -> int:
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=place) as folder:
        return sum(weight(Path(folder), source, size.codec) for source in sources.values())


def _measured(
    place: Path, size: Size, wanted: float, sources: dict[Modality, Source], kept: dict[Modality, Source], asked: Asked
) -> Plan:
    """The plan, of an index of each modality, the largest first; the files are thrown away."""
    found = [_alone(place, size, wanted, modality, one, partial(asked, modality)) for modality, one in kept.items()]
    one = together(found, wanted)
    delta = sum(_delta_bytes(source, size.codec.bits) for source in sources.values())
    total = _items(sources)
    return replace(one, delta=math.ceil(delta * delta_limit(total) / total))


def together(found: Sequence[Plan], wanted: float) -> Plan:
    """A plan of all kinds of items, given for each alone, the largest first: as good as for that which recalls least.

    Of those that recall enough it is the largest; one that is scanned only where all are.
    """

    def suits(one: Plan) -> tuple[bool, float]:
        return one.scanned, min(one.recall, wanted)

    held = {name: size for plan in found for name, size in plan.held.items()}
    return replace(min(found, key=suits), bytes=sum(held.values()), held=held)


def _alone(place: Path, size: Size, wanted: float, modality: Modality, source: Source, asking: Asking) -> Plan:
    """What one modality alone would say of a plan; its rows lie in a store."""
    assert source.kept is not None
    store, recipe = source.kept.store, Recipe(size.codec, wanted, planned=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=place) as temporary:
        folder = Path(temporary)
        facts = write_index(folder, modality, source, asking, store, recipe, lambda *_: None)
        index = load_index(folder, modality, facts, store, HeldRows.none(store.dim))
        best, held = facts["depths"], resident_bytes(index)
        scanned = index.scan_pays(None, best["candidates"])
        ms = min(row["ms"] for row in facts["tried"] if all(row[key] == best[key] for key in best))
        ms = _scan_ms(index, source) if scanned else ms
        depths = (best["probes"], best["candidates"], best["recall"])
        name = str(modality)
        return Plan(size.name, recipe.codec, held, *depths, ms, scanned, facts["tried"], {name: held}, name)


def _delta_bytes(source: Source, bits: int) -> int:
    """What a delta of all these rows would take."""
    some = sample(len(source.ids))
    rows = source.kept.take(some) if source.kept is not None else HeldRows(source.read(some))
    delta = FaissBackend(bits, rows.take(some[:0]))
    delta.upsert(source.ids[some], np.zeros((len(some), bits // 8), np.uint8), rows, {})
    return math.ceil(resident_bytes(delta) / len(some) * len(source.ids))


def _scan_ms(index: LiveIndex, source: Source) -> float:
    """Milliseconds of one query that is compared with all vectors."""
    queries = source.read(sample(len(source.ids))[:_TIMED])
    index.exact(queries[:1], FIRST, None)
    started = time.perf_counter()
    for query in queries:
        index.exact(query[None], FIRST, None)
    return round((time.perf_counter() - started) * 1000 / len(queries), 4)
