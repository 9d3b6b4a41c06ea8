"""The benchmark of codes: its errors are what they are named for, and it measures on what no codec has seen."""

import numpy as np
import pytest

from engine.types import F32
from indexer.codecs.additive import perplexity
from tests.bench.code_kinds import COMPARED, Compared, Lesson
from tests.bench.codes import CodeSet, code_rows, exact, headline, judge, real, score_errors, table, told
from tests.bench.search_set import SHARED
from tests.test_lists import unit

DIM = 256


def rows(count: int, seed: int) -> F32:
    """Unit rows about twenty centres: codebooks have something to learn."""
    centres = np.random.default_rng(9).standard_normal((20, DIM), np.float32)
    rng = np.random.default_rng(seed)
    return unit(centres[rng.integers(0, 20, count)] + rng.standard_normal((count, DIM), np.float32))


BASE, QUERIES = rows(600, 0), rows(40, 1)
NAMED = ("signs and factor, ITQ", "OPQ", "FAISS RaBitQ", "FAISS PQ")


def named(name: str) -> Compared:
    return next(one for one in COMPARED if one.name == name)


@pytest.fixture(scope="module")
def data() -> CodeSet:
    return CodeSet("small", Lesson.of(BASE, rows(200, 2)), BASE, QUERIES, rows(30, 3))


@pytest.mark.parametrize("name", NAMED)
def test_a_codec_is_measured_on_what_it_has_not_seen(data: CodeSet, name: str) -> None:
    (row,) = code_rows(data, [named(name)])
    assert row["bytes"] == named(name).fit(data.lesson).size and 0 < row["pictures_vector_mse"] < 1
    assert 0 < row["captions_recall10_in100"] <= 1 and 0 < row["pictures_score_mse"] < 0.05
    assert ("perplexity" in row) == ("signs" not in name and "RaBitQ" not in name)
    assert 1 < row.get("perplexity", 2) <= 256


def test_what_loses_nothing_has_no_errors() -> None:
    judged = {"captions": (QUERIES, exact(BASE, QUERIES))}
    assert judge(BASE, BASE, judged) == {"captions_first_error": 0, "captions_recall10_in100": 1}
    shrunk = judge(BASE, np.asarray(BASE * 0.5, np.float32), judged)
    assert shrunk["captions_recall10_in100"] == 1 and shrunk["captions_first_error"] > 0


def test_errors_of_scores_are_means_of_squares_without_a_row_and_itself() -> None:
    decoded = np.asarray(BASE * 0.9, np.float32)
    found = score_errors(BASE, decoded, {"captions": QUERIES, "pictures": BASE})
    missed = (QUERIES @ BASE.T) * 0.1
    assert found["captions_score_mse"] == pytest.approx(float((missed**2).mean()), abs=1e-6)
    own = ((BASE @ BASE.T) * 0.1) ** 2
    among = (own.sum() - np.trace(own)) / (len(BASE) * (len(BASE) - 1))
    assert found["pictures_score_mse"] == pytest.approx(float(among), abs=1e-6)


def test_perplexity_counts_the_words_in_use() -> None:
    codes = np.stack([np.arange(256), np.zeros(256), np.arange(256) % 4], axis=1).astype(np.uint8)
    assert perplexity(codes) == pytest.approx((256 + 1 + 4) / 3, abs=0.1)


def test_what_took_too_long_is_said_in_the_table_and_counts_for_nothing(data: CodeSet) -> None:
    (row,) = code_rows(data, [named("FAISS RaBitQ")])
    late = {**told("200,000", named("FAISS residual")), "given_up_s": 60.0}
    shown = table([row, late]).splitlines()
    assert "given up after 60 s" in shown[-1] and {line.count("|") for line in shown} == {11}
    assert headline([late]) == {}


def test_the_headline_is_the_best_of_each_within_the_bytes() -> None:
    some = [
        {"set": name, "owner": owner, "bytes": size, "captions_recall10_in100": recall}
        for name, owner, size, recall in (
            ("200,000", "rebus", 40, 0.96), ("200,000", "rebus", 32, 0.94), ("200,000", "rebus", 64, 0.99),
            ("real", "rebus", 32, 1.0), ("200,000", "faiss", 40, 0.9),
        )
    ]  # fmt: skip
    assert headline(some) == {"recall10_in100_40B": 0.96, "recall10_in100_32B": 0.94, "faiss_recall10_in100_40B": 0.9}


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "data" / "joint256").exists(), reason="needs the data beside the checkout")
def test_nothing_that_is_asked_was_trained_on() -> None:
    data = real()
    assert (len(data.base), len(data.captions), len(data.pictures)) == (6000, 30_000 // 6, 1000)
    seen = {row.tobytes() for row in data.lesson.rows}
    assert not any(row.tobytes() in seen for row in data.pictures)
