"""Codecs: vectors to short codes and back. `load_codec` reads what a version folder holds."""

from pathlib import Path
from typing import Any, Protocol

from engine.codecs.hashing import SignHash
from engine.errors import ArtifactError
from engine.types import F32, U8


class Codec(Protocol):
    """Quantizes unit rows of the joint space. code_size: bytes a vector."""

    @property
    def code_size(self) -> int: ...

    def quantize(self, x: F32) -> U8:
        """(n, d) float32 to (n, code_size)."""
        ...

    def reconstruct(self, codes: U8) -> F32:
        """(n, code_size) to the (n, d) vectors the codes stand for."""
        ...


KINDS = {SignHash.kind: SignHash}


def load_codec(folder: Path, facts: dict[str, Any]) -> SignHash:
    """The codec whose kind and file name a version's manifest records. Raises ArtifactError for an unknown kind."""
    if facts.get("kind") not in KINDS:
        raise ArtifactError(f"{folder} uses codes of kind {facts.get('kind')!r}, unknown to this release: rebuild it")
    return KINDS[facts["kind"]].load(folder / facts["file"])
