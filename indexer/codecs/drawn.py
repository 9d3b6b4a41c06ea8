"""Codecs of drawn words, of the shape of trained ones: to weigh them, or to time their scan, without training."""

import numpy as np

from engine.codecs import Scanned
from engine.codecs.hashing import ScaledHash
from engine.codecs.pq import ProductCode
from engine.codecs.vq import AdditiveCode
from engine.config import CodecSettings
from engine.types import F32
from indexer.codecs.fit import groups_for, lists_for


def drawn_codec(settings: CodecSettings, count: int, dim: int) -> Scanned:
    """What `fit_codes` gives so many rows of this width, but for its numbers."""
    rng, size = np.random.default_rng(0), settings.bits // 8

    def drawn(*shape: int) -> F32:
        return rng.standard_normal(shape, np.float32)

    mean, ask, share = np.zeros(dim, np.float32), np.zeros((dim, dim), np.float32), np.zeros(1, np.float32)
    listed = count >= settings.lists_from
    if settings.kind == "rabitq" and not listed:
        return ScaledHash(drawn(dim, settings.bits), mean, ask, drawn(2))
    if settings.kind == "vq" and not listed:
        groups = groups_for(size, dim)
        words = drawn(groups, size // groups, 256, dim // groups)
        return AdditiveCode(mean, drawn(dim, dim), drawn(dim, dim), words, ask, share)
    parts, words_each = (settings.parts, 16) if listed else (size, 256)
    width = -(-dim // parts)
    lists = drawn(lists_for(count) if listed else 0, parts * width)
    lists /= np.linalg.norm(lists, axis=1, keepdims=True)
    rotation = np.eye(dim, parts * width, dtype=np.float32)
    return ProductCode(mean, rotation, drawn(parts, words_each, width), lists, ask, share)
