"""Inverted lists against brute force, and every codec's contract."""

import tempfile
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codecs import KINDS, Codec, load_codec
from engine.codecs.hashing import ScaledHash, SignHash, drawn_rotation
from engine.codecs.pq import ProductCode
from engine.codecs.vq import AdditiveCode
from engine.filtering import Filter
from engine.index import read_rows, write_rows
from engine.lists import _NARROWED, FAST_SCAN_BITS, Depths, ListBackend, _nearest
from engine.store import EmbeddingStore, HeldRows, StoredRows
from engine.types import F32, I64
from indexer.codecs.additive import train_additive
from indexer.codecs.depths import choose_depths
from indexer.codecs.pairs import Asked, score_loss
from indexer.codecs.product import train_product
from indexer.codecs.rotations import descended, itq, principal
from indexer.evaluation.memory import resident_bytes

DIM, COUNT = 16, 900


def unit(x: F32) -> F32:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def clusters(count: int, seed: int = 0) -> F32:
    """Unit rows about thirty centres."""
    centres = np.random.default_rng(9).standard_normal((30, DIM))
    rng = np.random.default_rng(seed)
    return unit(
        centres.astype(np.float32)[rng.integers(0, 30, count)] + 0.5 * rng.standard_normal((count, DIM), np.float32)
    )


ROWS = clusters(COUNT)
QUERIES = unit(clusters(80, 1) + np.float32(0.4))  # off the rows' own distribution, as captions are
ASKED = Asked.of(ROWS, QUERIES[:60])
LISTED = train_product(ASKED, 8, 4, lists=12)
CODECS: dict[str, Codec] = {
    "lists": LISTED,
    "product": train_product(ASKED, 4, share=0.9),
    "product of uneven parts": train_product(ASKED, 6, 4, share=0),
    "additive": train_additive(ASKED, 2, 2, epochs=2),
    "additive, for vectors": train_additive(ASKED, 4, 2, epochs=1, share=0, scores=0),
    "sign hash": SignHash.fit(ROWS, 32),
    "sign hash, ITQ": SignHash.fit(ROWS, DIM, rotation=itq(ROWS, DIM)),
    "scaled hash": ScaledHash.fit(ROWS, drawn_rotation(DIM, 32), ASKED.expected()),
    "scaled hash, descended": ScaledHash.fit(ROWS, descended(ASKED, 24, epochs=1), ASKED.expected()),
}
FRESH = clusters(300, 5)
CODES = {name: codec.quantize(FRESH) for name, codec in CODECS.items()}


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_pattern_of_bytes_decodes(name: str, data: st.DataObject) -> None:
    codec, count = CODECS[name], data.draw(st.integers(0, 4))
    drawn = data.draw(st.binary(min_size=count * codec.code_size, max_size=count * codec.code_size))
    vectors = codec.reconstruct(np.frombuffer(drawn, np.uint8).reshape(count, codec.code_size))
    assert vectors.shape == (count, DIM) and bool(np.isfinite(vectors).all())


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=15, deadline=None)
@given(chosen=st.lists(st.integers(0, len(FRESH) - 1), max_size=40))
def test_a_rows_code_is_its_own_whatever_is_coded_beside_it(name: str, chosen: list[int]) -> None:
    codec, some = CODECS[name], np.array(chosen, np.int64)
    codes = codec.quantize(FRESH[some])
    vectors, alone = codec.reconstruct(codes), codec.reconstruct(CODES[name])[some]
    assert vectors.shape == (len(some), DIM) and bool(np.isfinite(vectors).all())
    same = (codes == CODES[name][some]).all(axis=1)
    np.testing.assert_allclose(vectors[same], alone[same], atol=1e-5)
    # Products of matrices are rounded by their size: of words that are equally near, either may be taken.
    assert np.mean([*same, 1, 1, 1]) > 0.7


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_keeps_more_than_the_mean_and_is_loaded_as_it_was_saved(name: str, tmp_path: Path) -> None:
    codec, codes, fresh = CODECS[name], CODES[name], FRESH
    assert codes.shape == (300, codec.code_size) and codes.dtype == np.uint8
    decoded = codec.reconstruct(codes)
    assert ((fresh - decoded) ** 2).sum() < 0.8 * ((fresh - ROWS.mean(0)) ** 2).sum()
    codec.save(tmp_path / "codec")
    kind = next(kind for kind, known in KINDS.items() if isinstance(codec, known))
    loaded = load_codec(tmp_path, {"kind": kind, "file": "codec"})
    np.testing.assert_array_equal(loaded.quantize(fresh), codes)
    np.testing.assert_array_equal(loaded.reconstruct(codes), decoded)


def test_aimed_codes_score_nearer_to_their_share_than_plain_ones() -> None:
    ask, fresh = ASKED.expected(), clusters(300, 6)

    def missed(codec: ProductCode) -> float:
        decoded = codec.reconstruct(codec.quantize(fresh)) - codec.mean
        expected = 0.9 * ((fresh @ ask) * (fresh - codec.mean)).sum(1)
        return float(np.abs(((fresh @ ask) * decoded).sum(1) - expected).mean())

    plain = train_product(ASKED, 2, share=0)
    aimed = ProductCode(plain.mean, plain.rotation, plain.centroids, plain.lists, ask, np.array([0.9], np.float32))
    assert missed(aimed) < 0.8 * missed(plain)


def test_itq_projections_are_nearer_to_their_signs_than_a_drawn_rotations() -> None:
    centred = ROWS - ROWS.mean(0)

    def error(rotation: F32) -> float:
        projected = centred @ rotation
        return float(((np.sign(projected) * np.abs(projected).mean() - projected) ** 2).mean())

    rotation = itq(ROWS, DIM)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(DIM), atol=1e-4)
    assert error(rotation) < error(drawn_rotation(DIM, DIM))
    assert itq(ROWS, DIM + 8).shape == (DIM, DIM + 8)


def test_a_rotation_that_descended_loses_less_than_where_it_began() -> None:
    centred = torch.from_numpy(ROWS - ROWS.mean(0))[torch.from_numpy(ASKED.nearest)]

    def loss(rotation: F32) -> float:
        y = centred @ torch.from_numpy(rotation)
        error = centred - (y.abs().mean(-1, keepdim=True) * y.sign()) @ torch.from_numpy(rotation.T.copy())
        return float((error**2).sum(-1).mean() + 4 * score_loss(torch.from_numpy(ASKED.queries), error))

    turned = descended(ASKED, DIM, epochs=60)
    np.testing.assert_allclose(turned.T @ turned, np.eye(DIM), atol=1e-4)
    assert loss(turned) < loss(itq(ROWS, DIM))
    assert descended(ASKED, DIM + 8, epochs=1).shape == (DIM, DIM + 8)


def test_principal_directions_are_those_of_greatest_spread() -> None:
    spread = ((ROWS - ROWS.mean(0)) @ principal(ROWS, DIM)).var(0)
    assert (np.diff(spread) <= 1e-6).all() and principal(ROWS, DIM + 8).shape == (DIM, DIM + 8)


def test_the_expected_query_is_nearer_to_the_one_that_asks_than_the_row_is() -> None:
    found, asked = ROWS[ASKED.nearest[:, 0]], ASKED.queries
    assert ((asked - found @ ASKED.expected()) ** 2).sum() < ((asked - found) ** 2).sum()


# --- lists ---


def backend_of(rows: F32, ids: I64, probes: int = 12, candidates: int = 10**6) -> ListBackend:
    backend = ListBackend(LISTED, HeldRows.none(DIM), Depths(probes, candidates, 0.0))
    backend.upsert(ids, LISTED.quantize(rows), HeldRows(rows), {})
    return backend


def reference(backend_ids: I64, rows: F32, q: F32, k: int) -> tuple[I64, F32]:
    scores = q @ rows.astype(np.float16).astype(np.float32).T
    order = np.lexsort((np.broadcast_to(backend_ids, scores.shape), -scores), axis=1)[:, :k]
    return backend_ids[order], np.take_along_axis(scores, order, 1)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 200), gone=st.sampled_from((0.0, 0.5, 1.0)), share=st.sampled_from((0.0, 0.3, 1.0)))
def test_search_equals_brute_force_when_depths_cover_all(count: int, gone: float, share: float) -> None:
    rng, rows = np.random.default_rng(count), ROWS[:count]
    ids = np.sort(rng.permutation(5000)[:count]).astype(np.int64)
    backend = backend_of(rows, ids)
    dead, allowed = rng.random(count) < gone, rng.random(count) < share
    assert backend.delete(ids[dead]) == dead.sum()
    assert backend.delete(ids[dead]) == 0
    for where, kept in ((None, ~dead), (Filter(ids[allowed]), ~dead & allowed)):
        found, _ = backend.recall(QUERIES[:3], max(count, 1), where)
        assert all(sorted(row[row >= 0]) == ids[kept].tolist() for row in found)
        best, scores = backend.rescore(QUERIES[:3], found, 10)
        truth, expected = reference(ids[kept], rows[kept], QUERIES[:3], 10)
        np.testing.assert_allclose(scores[:, : truth.shape[1]], expected, atol=1e-5)
        assert (best[:, truth.shape[1] :] == -1).all()


@pytest.mark.parametrize("name", ["product", "product of uneven parts", "additive"])
def test_codes_without_lists_are_scanned_to_the_scores_of_what_they_decode_to(name: str) -> None:
    codec = CODECS[name]
    assert isinstance(codec, ProductCode | AdditiveCode)
    backend, codes = ListBackend(codec, HeldRows.none(DIM), Depths(1, 50, 0.0)), codec.quantize(ROWS)
    backend.upsert(np.arange(COUNT), codes, HeldRows(ROWS), {})
    found, scores = backend.recall(QUERIES[:5], 50)
    expected = QUERIES[:5] @ codec.reconstruct(codes).T
    fast = codec.quantizer.nbits == FAST_SCAN_BITS  # its tables hold eight bits
    np.testing.assert_allclose(scores, np.take_along_axis(expected, found, 1), atol=0.05 if fast else 1e-4)
    np.testing.assert_allclose(scores, -np.sort(-expected)[:, :50], atol=0.05 if fast else 1e-4)


def test_estimated_scores_are_those_of_the_decoded_vectors() -> None:
    ids = np.arange(COUNT)
    found, scores = backend_of(ROWS, ids).recall(QUERIES[:5], 50)
    decoded = LISTED.reconstruct(LISTED.quantize(ROWS))
    expected = np.take_along_axis(QUERIES[:5] @ decoded.T, found, 1)
    np.testing.assert_allclose(scores, expected, atol=0.03)  # tables of a fast scan hold eight bits
    assert (np.diff(scores, axis=1) <= 0).all()


def test_removing_and_adding_again_leaves_one_row_of_each_id() -> None:
    backend, ids = backend_of(ROWS, np.arange(COUNT)), np.arange(100)
    for _ in range(2):
        backend.delete(ids)
        for _ in range(2):
            backend.upsert(ids, LISTED.quantize(ROWS[:100]), HeldRows(ROWS[:100]), {})
        assert len(backend) == COUNT
        found, _ = backend.recall(QUERIES[:4], 2 * COUNT)
        assert all(sorted(row[row >= 0]) == list(range(COUNT)) for row in found)


def test_what_was_written_is_searched_from_the_disk_as_it_was_from_memory() -> None:
    with tempfile.TemporaryDirectory() as name:
        store, ids = EmbeddingStore(Path(name) / "store", DIM, shard_rows=400), np.arange(COUNT) * 3
        rows = StoredRows(store, *store.append(ROWS))
        write_rows(Path(name), "image", ids, LISTED.quantize(ROWS), rows)
        loaded = ListBackend.load(Path(name), "image", LISTED, store, Depths(4, 50, 0.0))
        held = backend_of(ROWS, ids, 4, 50)
        assert isinstance(loaded.vectors, StoredRows) and isinstance(loaded.vectors.rows.base, np.memmap | mmap)
        assert resident_bytes(loaded) < COUNT * (LISTED.code_size - 2 + 8 + 1) + 20_000  # where it lies, whether alive
        for m in (50, 200):
            a, b = loaded.recall(QUERIES, m), held.recall(QUERIES, m)
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(loaded.rescore(QUERIES, a[0], 10)[0], held.rescore(QUERIES, b[0], 10)[0])
        np.testing.assert_array_equal(read_rows(Path(name), "image", store)[0], ids)


def test_depths_are_the_quickest_that_recall_as_much_as_is_wanted() -> None:
    backend = backend_of(ROWS, np.arange(COUNT), 1, 1)
    depths, tried = choose_depths(backend, QUERIES[60:], 0.9)
    quickest = min((row for row in tried if row["recall"] >= 0.9), key=lambda row: row["ms"])
    assert all(getattr(depths, name) == quickest[name] for name in ("probes", "candidates", "recall"))
    found, _ = backend.exact(QUERIES[60:], 10)
    backend.depths = depths
    again, _ = backend.rescore(QUERIES[60:], backend.recall(QUERIES[60:], depths.candidates)[0], 10)
    shared = [np.isin(a, b).mean() for a, b in zip(found, again, strict=True)]
    assert np.mean(shared) == pytest.approx(depths.recall, abs=1e-4)


def test_what_was_removed_between_the_stages_is_not_refined() -> None:
    backend = backend_of(ROWS, np.arange(COUNT))
    found, _ = backend.recall(QUERIES[:1], 50)
    again = found.copy()  # looked up by id, as from another thread
    for candidates in (found, again):
        best, _ = backend.rescore(QUERIES[:1], candidates, 10)
        backend.delete(best[0, :1])
        for other in (found, again):
            kept, scores = backend.rescore(QUERIES[:1], other, 9)
            np.testing.assert_array_equal(kept[0], best[0, 1:])
            np.testing.assert_allclose(scores[0], (QUERIES[:1] @ ROWS[kept[0]].T)[0], atol=1e-3)


def test_deeper_requests_look_into_more_lists() -> None:
    backend = backend_of(ROWS, np.arange(COUNT), 1, 10)
    near, _ = backend.recall(QUERIES[:8], 10)
    far, _ = backend.recall(QUERIES[:8], 400)
    assert (far >= 0).sum() > 3 * (near >= 0).sum()


def test_the_codes_of_many_lists_are_trained_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    centroids = clusters(_NARROWED, 3)
    coarse = _nearest(centroids, 8)
    found = coarse.search(centroids, 1)[1][:, 0]
    assert (found == np.arange(_NARROWED)).mean() > 0.8
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("width", [2, 3, 9])
def test_codes_are_those_of_the_plain_quantizer_whatever_the_width(width: int) -> None:
    rows = unit(np.random.default_rng(0).standard_normal((600, 8 * width), np.float32))
    codec = train_product(Asked.of(rows, None), 8, 4, share=0)
    y = codec.asked(rows - codec.mean)
    assert np.array_equal(codec.quantize(rows), codec.quantizer.compute_codes(y))
