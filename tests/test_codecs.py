"""Sign hashes: their size, what they keep of a vector, and how their distance grows with the angle."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.codecs import load_codec
from engine.codecs.hashing import SignHash
from engine.errors import ArtifactError
from engine.types import F32, I64, U8

DIM = 32


def unit(x: F32) -> F32:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def cone(count: int = 400, dim: int = DIM, seed: int = 0) -> F32:
    """Unit rows in a narrow cone, as embeddings of one modality lie."""
    rng = np.random.default_rng(seed)
    return unit((rng.standard_normal((count, dim)) + 3 * rng.standard_normal(dim)).astype(np.float32))


def hamming(a: U8, b: U8) -> I64:
    return np.asarray(np.bitwise_count(a ^ b).sum(-1), np.int64)


@settings(max_examples=30, deadline=None)
@given(dim=st.integers(2, 40), size=st.integers(1, 24), count=st.integers(1, 30), seed=st.integers(0, 99))
def test_codes_have_their_size_and_every_bit_is_the_sign_it_stands_for(
    dim: int, size: int, count: int, seed: int
) -> None:
    x = cone(count, dim, seed)
    codec = SignHash.fit(x, size * 8, seed)
    codes = codec.quantize(x)
    assert (codes.shape, str(codes.dtype), codec.code_size) == ((count, size), "uint8", size)
    projected = (x - codec.mean).astype(np.float64) @ codec.rotation.astype(np.float64)
    clear = np.abs(projected) > 1e-5  # nearer to zero, the sign is rounding
    np.testing.assert_array_equal(np.unpackbits(codes, axis=1)[clear], (projected >= 0)[clear])
    assert codec.reconstruct(codes).shape == (count, dim)


@pytest.mark.parametrize("bits", [16, 32, 64, 128])
def test_reconstruction_is_nearer_than_the_mean(bits: int) -> None:
    x, held_out = cone()[:300], cone()[300:]
    codec = SignHash.fit(x, bits)
    error = float(((held_out - codec.reconstruct(codec.quantize(held_out))) ** 2).sum())
    of_the_mean = float(((held_out - x.mean(0)) ** 2).sum())
    assert error < of_the_mean


def test_more_bits_reconstruct_better() -> None:
    x = cone()
    codecs = [SignHash.fit(x, bits) for bits in (8, 32, 128)]
    errors = [float(((x - codec.reconstruct(codec.quantize(x))) ** 2).sum()) for codec in codecs]
    assert errors == sorted(errors, reverse=True)


def test_the_scale_is_the_best_one() -> None:
    x = cone()
    codec = SignHash.fit(x, 64)
    codes = codec.quantize(x)

    def error(scale: float) -> float:
        scaled = SignHash(codec.rotation, codec.mean, codec.scale * np.float32(scale))
        return float(((x - scaled.reconstruct(codes)) ** 2).sum())

    assert error(1) < min(error(0.95), error(1.05))


CODEC = SignHash.fit(cone(), 64)


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(0, 5), st.just(8))))
def test_every_pattern_of_bits_decodes(codes: U8) -> None:
    vectors = CODEC.reconstruct(codes)
    assert vectors.shape == (len(codes), DIM)
    assert bool(np.isfinite(vectors).all())


@settings(max_examples=50, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(4))))
def test_with_no_more_bits_than_dimensions_a_decoded_code_is_its_own_code(codes: U8) -> None:
    codec = SignHash.fit(cone(), DIM)
    np.testing.assert_array_equal(codec.quantize(codec.reconstruct(codes)), codes)


def test_the_rotation_is_orthonormal_in_blocks_of_the_dimension() -> None:
    rotation = SignHash.fit(cone(), 3 * DIM).rotation
    for start in range(0, 3 * DIM, DIM):
        block = rotation[:, start : start + DIM]
        np.testing.assert_allclose(block.T @ block, np.eye(DIM), atol=1e-5)


def test_distance_grows_with_the_angle_as_charikar_says() -> None:
    rng, bits = np.random.default_rng(1), 4096
    codec = SignHash.fit(np.zeros((2, DIM), np.float32), bits)  # no mean: the angle between the vectors themselves
    a, b = (unit(rng.standard_normal((200, DIM)).astype(np.float32)) for _ in range(2))
    b = unit(b - (a * b).sum(1, keepdims=True) * a)
    shares = []
    for angle in (0.0, 0.2, 0.6, 1.2, 2.0, np.pi):
        turned = (np.cos(angle) * a + np.sin(angle) * b).astype(np.float32)
        share = hamming(codec.quantize(a), codec.quantize(turned)) / bits
        np.testing.assert_allclose(share.mean(), angle / np.pi, atol=0.01)
        shares.append(share.mean())
    assert shares == sorted(shares)


def test_a_query_finds_its_neighbours_among_items_of_a_narrow_cone() -> None:
    items = cone(2000)
    codec, queries = SignHash.fit(items, 256), items[:20]
    near = hamming(codec.quantize(items), codec.quantize_query(queries)[:, None, :])
    first = np.argsort(near, axis=1)[:, :100]
    truth = np.argsort(-(queries @ items.T), axis=1)[:, :10]
    found = np.mean([len(set(a.tolist()) & set(b.tolist())) for a, b in zip(first, truth, strict=True)]) / 10
    assert found > 0.5  # 100 of 2,000 at random would hold 0.05


def test_a_query_is_not_centred() -> None:
    queries, codec = cone(50, seed=7), SignHash.fit(cone(), 64)
    projected = queries @ codec.rotation
    clear = np.abs(projected) > 1e-5
    np.testing.assert_array_equal(np.unpackbits(codec.quantize_query(queries), axis=1)[clear], (projected >= 0)[clear])


def test_a_seed_draws_the_same_codec_and_another_seed_another() -> None:
    a, same, other = (SignHash.fit(cone(), 64, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a.rotation, same.rotation)
    assert not np.array_equal(a.rotation, other.rotation)


def test_one_vector_or_equal_vectors_can_be_fitted() -> None:
    for x in (cone(1), np.repeat(cone(1), 5, axis=0)):
        codec = SignHash.fit(x, 64)
        np.testing.assert_allclose(codec.reconstruct(codec.quantize(x)), x, atol=1e-4)


def test_what_was_saved_is_loaded_equal(tmp_path: Path) -> None:
    codec = SignHash.fit(cone(), 64)
    codec.save(tmp_path / "codec")
    loaded = load_codec(tmp_path, {"kind": "sign-hash", "file": "codec"})
    assert isinstance(loaded, SignHash)
    x = cone(seed=5)
    np.testing.assert_array_equal(loaded.quantize(x), codec.quantize(x))
    np.testing.assert_array_equal(loaded.quantize_query(x), codec.quantize_query(x))
    np.testing.assert_array_equal(loaded.reconstruct(codec.quantize(x)), codec.reconstruct(codec.quantize(x)))


@pytest.mark.parametrize("facts", [{"kind": "future", "file": "codec"}, {}])
def test_an_unknown_kind_is_refused(tmp_path: Path, facts: dict[str, str]) -> None:
    with pytest.raises(ArtifactError, match="rebuild"):
        load_codec(tmp_path, facts)
