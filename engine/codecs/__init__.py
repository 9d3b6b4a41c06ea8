"""Codecs: vectors to short codes and back. `load_codec` reads what a version folder holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from engine.codecs.hashing import ScaledHash, SignHash
from engine.codecs.pq import ProductCode
from engine.codecs.vq import AdditiveCode
from engine.errors import ArtifactError
from engine.types import F32, U8


class Codec(Protocol):
    """Quantizes unit rows of the joint space. code_size: bytes a vector."""

    kind: ClassVar[str]  # as manifests name it

    @property
    def code_size(self) -> int: ...

    def quantize(self, x: F32) -> U8:
        """(n, d) float32 to (n, code_size)."""
        ...

    def reconstruct(self, codes: U8) -> F32:
        """(n, code_size) to the (n, d) vectors the codes stand for. Every pattern of bytes decodes."""
        ...

    def save(self, path: Path) -> None:
        """Write the codec as safetensors."""
        ...

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        ...


Scanned = ScaledHash | ProductCode | AdditiveCode  # codes that FAISS scans by estimated inner products

KINDS: Mapping[str, type[SignHash] | type[Scanned]] = {
    kind.kind: kind for kind in (SignHash, ScaledHash, ProductCode, AdditiveCode)
}


def load_codec(folder: Path, facts: Mapping[str, Any]) -> SignHash | Scanned:
    """The codec whose kind and file name a version's manifest records. Raises ArtifactError for an unknown kind."""
    if facts.get("kind") not in KINDS:
        raise ArtifactError(f"{folder} uses codes of kind {facts.get('kind')!r}, unknown to this release: rebuild it")
    return KINDS[facts["kind"]].load(folder / facts["file"])
