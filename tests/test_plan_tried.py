"""Which codes a plan tries: what fits is known before any is trained, and what takes minutes comes last, if need be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codecs.hashing import SignHash
from engine.config import CodecSettings
from engine.index import FaissBackend
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import Modality
from engine.versions import load_index
from indexer.build import Recipe, write_index
from indexer.codecs.depths import choose_candidates
from indexer.evaluation.memory import resident_bytes
from indexer.planning import Plan, Plans, Size, _families, together, tried
from indexer.sources import Source
from indexer.weighing import laid, weight
from tests.conftest import silent
from tests.test_lists import DIM, ROWS

SLOW = ("product codes", "additive codes")
ITEMS = 20_000


def fits(size: Size) -> int:
    """Bytes of a thousand items, and what belongs to the codes."""
    return round(1000 * size.code) + (0 if size.family == "hash codes" else 5000)


class Measured:
    """Plans as they would be measured, and which were."""

    def __init__(self, recall: Callable[[Size], float], *, scanned: bool = False) -> None:
        self.recall, self.scanned = recall, scanned
        self.names: list[str] = []

    def __call__(self, size: Size, wanted: float) -> Plan:
        self.names.append(size.name)
        return Plan(size.name, size.codec, fits(size), 1, 100, self.recall(size), 1.0, self.scanned, [])

    def families(self) -> set[str]:
        return {name.split(",")[0] for name in self.names}


def plans_of(memory: int, wanted: float, measured: Measured, count: int = ITEMS) -> Plans:
    return Plans.of(tried(memory, wanted, count, fits, measured, silent), memory, wanted)


@pytest.mark.parametrize("scanned", [False, True])
@pytest.mark.parametrize("enough", ["hash codes", "product codes in lists"])
def test_what_takes_minutes_is_left_out_where_hash_codes_or_lists_do(scanned: bool, enough: str) -> None:
    measured = Measured(lambda size: 0.96 if size.family == enough else 0.8, scanned=scanned)
    chosen = plans_of(80_000, 0.95, measured).chosen
    assert chosen is not None and chosen.name.startswith(enough)
    assert not measured.families() & set(SLOW)


def test_what_takes_minutes_is_tried_where_nothing_else_does_the_largest_first_and_no_more_than_need_be() -> None:
    measured = Measured(lambda size: 0.96 if size.family == SLOW[0] and size.code >= 32 else 0.8)
    chosen = plans_of(46_000, 0.95, measured).chosen
    assert chosen is not None and chosen.name == "product codes, 32 bytes"  # of equals the smallest
    assert [name for name in measured.names if name.split(",")[0] in SLOW] == [
        "product codes, 40 bytes", "product codes, 32 bytes"
    ]  # fmt: skip
    measured = Measured(lambda size: 0.96 if size.family == SLOW[1] else 0.8)
    assert plans_of(46_000, 0.95, measured).chosen is not None
    assert [name for name in measured.names if name.startswith("product codes,")] == ["product codes, 40 bytes"]


def test_nothing_is_trained_that_cannot_fit_unless_nothing_else_would_do() -> None:
    measured = Measured(lambda size: 0.96)
    assert plans_of(8_000, 0.95, measured).chosen is not None
    assert measured.names == ["hash codes, 16 bytes", "hash codes, 8 bytes"]
    measured = Measured(lambda size: 0.96 if size.code >= 20 and size.family in SLOW else 0.8)
    plans = plans_of(8_000, 0.95, measured)
    assert plans.chosen is None and measured.names[-1] == "product codes, 32 bytes"
    weights = [plan.bytes for plan in plans.plans]
    assert len(measured.names) == len(set(measured.names)) and max(weights) == 37_000
    assert "the nearest possible plan is product codes, 32 bytes, with --memory 37kB" in plans.refusal()


def test_what_will_be_measured_is_told_of_before_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    measured = Measured(lambda size: 0.8)
    tried(46_000, 0.95, ITEMS, fits, measured, lambda *said: told.append(said))
    assert [what for what, _, _ in told] == [*measured.names, "measured"]
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told}) and told[-1][1] == told[-1][2]


@settings(max_examples=60, deadline=None)
@given(
    memory=st.integers(1, 150_000), wanted=st.floats(0.1, 0.99), count=st.sampled_from((100, 3000, ITEMS)),
    shift=st.fixed_dictionaries(
        {family: st.floats(-0.5, 0.5) for family in ("hash codes", "product codes in lists", *SLOW)}
    ),
)  # fmt: skip
def test_no_plan_is_refused_that_there_is(memory: int, wanted: float, count: int, shift: dict[str, float]) -> None:
    """Where more bytes of a family recall no less, as codes do."""

    def recall(size: Size) -> float:
        return min(1.0, max(0.0, size.code / 100 + shift[size.family]))

    chosen = plans_of(memory, wanted, Measured(recall), count).chosen
    assert chosen is None or (chosen.bytes <= memory and chosen.recall >= wanted)
    there = [size for sizes in _families(count).values() for size in sizes]
    assert (chosen is None) == all(fits(size) > memory or recall(size) < wanted for size in there)


@pytest.mark.parametrize(
    "codec",
    [
        CodecSettings(bits=128), CodecSettings(lists_from=200, parts=8, bits=64),
        CodecSettings(kind="pq", bits=64), CodecSettings(kind="vq", bits=64),
        CodecSettings(kind="rabitq", bits=64), CodecSettings(bits=64, rotation="itq"),
    ],
    ids=["hash codes", "lists", "product", "additive", "hash codes with factors", "hash codes, ITQ"],
)  # fmt: skip
def test_an_index_weighs_what_was_said_before_it_was_trained(
    codec: CodecSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.codecs.fit.TRAINED_FROM", 100)
    store = EmbeddingStore(tmp_path / "store", DIM)
    rows, ids = StoredRows(store, *store.append(ROWS[:300])), np.arange(300) * 2
    assert laid(Source(ids, rows.__getitem__, rows), tmp_path).kept is rows
    source = laid(Source(ids, rows.__getitem__), tmp_path / "laid")  # as a head projects them
    assert source.kept is not None
    said = weight(tmp_path, source, codec)
    recipe = Recipe(codec, 0.9, planned=True)
    facts = write_index(tmp_path, Modality.IMAGE, source, lambda: (None, None), store, recipe, lambda *_: None)
    index = load_index(tmp_path, "image", facts, source.kept.store, HeldRows.none(DIM))
    assert said == pytest.approx(resident_bytes(index), rel=0.001)


def test_a_plan_is_as_good_as_for_the_kind_of_items_that_recalls_least() -> None:
    def alone(modality: str, recall: float, ms: float, *, scanned: bool = False) -> Plan:
        return Plan("codes", CodecSettings(), 10, 1, 100, recall, ms, scanned, [], {modality: 10}, modality)

    for others, worst in (
        ((alone("image", 0.8, 0.5), alone("audio", 0.85, 9.0)), "image"),
        ((alone("image", 0.96, 2.5), alone("audio", 0.99, 0.1)), "text"),
        ((alone("image", 0.99, 0.5), alone("audio", 0.8, 9.0, scanned=True)), "text"),
    ):
        one = together([alone("text", 0.98, 1.0), *others], 0.95)
        assert one.modality == worst and one.bytes == 30 and set(one.held) == {"text", "image", "audio"}


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 600), seed=st.integers(0, 10**6))
def test_hash_codes_are_looked_into_as_deep_as_finds_all_if_need_be(count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((count, DIM), np.float32)
    codec, rows = SignHash.fit(rows, 8), rows / np.linalg.norm(rows, axis=1, keepdims=True)
    backend = FaissBackend(8, HeldRows.none(DIM))
    backend.upsert(np.arange(count), codec.quantize(rows), HeldRows(rows), {})
    depths, tried = choose_candidates(backend, codec, rows[:20], 0.9999)
    assert depths.recall == 1 and depths.candidates >= 100 and tried[-1]["candidates"] <= max(100, count)
