"""Heads: a trained aligner with what it reads of words, as an artifact of a library, and what a query does with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.aligners import Aligner, Identity
from engine.aligners.fusion import Fusion
from engine.aligners.linear import Linear
from engine.aligners.texts import Lexical, TextInput, Tokens
from engine.aligners.towers import Towers
from engine.artifacts import read_manifest, write_artifact
from engine.catalog import Catalog, HeadRow, chunks
from engine.errors import ArtifactError, EncoderUnavailable
from engine.types import F32, Modality

HOME_FOLDER, CURVE = "heads", "curve.svg"  # of a library; of a head
KINDS: dict[str, type[Aligner]] = {kind.kind: kind for kind in (Identity, Linear, Towers, Fusion)}
TEXT_KINDS: dict[str, type[TextInput]] = {Lexical.kind: Lexical, Tokens.kind: Tokens}
_WEIGHTS, _BLOCK = "aligner.safetensors", 4096
_REMEMBERED = 4096  # rows of queries, with what they were made of: 16 MB at a width of 512


@dataclass(frozen=True, slots=True)
class Head:
    """An aligner, and what it reads.

    dims: the width of each modality's vectors; a store that holds several modalities pads the narrower ones with
    zeros, which are cut off here. texts: set when this head reads words themselves instead of their embeddings.
    """

    aligner: Aligner
    dims: Mapping[Modality, int]
    texts: TextInput | None = None
    _row: Callable[[Modality, str | bytes], F32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_row", lru_cache(_REMEMBERED)(self._project_one))

    @classmethod
    def identity(cls, dims: Mapping[Modality, int]) -> "Head":
        """No map at all: the encoder's own space."""
        return cls(Identity(max(dims.values())), dims)

    @property
    def is_identity(self) -> bool:
        return isinstance(self.aligner, Identity)

    @property
    def reads_words(self) -> bool:
        """Whether words become vectors at all: as they are, or as the encoder embeds them."""
        return self.texts is not None or Modality.TEXT in self.dims

    def knows(self, words: str) -> bool:
        """Whether a head that reads words itself makes anything of these."""
        return self.texts is not None and self.texts.knows(words)

    @property
    def fuses(self) -> bool:
        """Whether several terms are read together, by attention, instead of being added up."""
        return isinstance(self.aligner, Fusion)

    @torch.inference_mode()
    def fuse(self, vectors: Mapping[Modality, F32], words: Sequence[str]) -> F32:
        """One unit row (1, dim) of all that is known: stored vectors (m, width) by modality, and words read here."""
        assert isinstance(self.aligner, Fusion)
        inputs = {
            modality: torch.from_numpy(np.ascontiguousarray(x[:, : self.dims[modality]]))[None]
            for modality, x in vectors.items()
        }
        if words and self.texts is not None:
            inputs[Modality.TEXT] = self.texts(words)[None]
        out: F32 = self.aligner.fuse(inputs).float().cpu().numpy()
        return out

    def compares(self, a: Modality, b: Modality) -> bool:
        """Whether two modalities share a space: without a map, where their vectors have one width."""
        return not self.is_identity or self.dims.get(a) == self.dims.get(b)

    @torch.inference_mode()
    def project(self, x: F32, modality: Modality) -> F32:
        """Stored vectors (n, width or more) to unit rows (n, dim) of the joint space. Moments of films are pictures."""
        seen = Modality.IMAGE if modality is Modality.VIDEO else modality
        width = x.shape[1] if self.is_identity else self.dims.get(seen, x.shape[1])
        own = torch.from_numpy(np.ascontiguousarray(x[:, :width]))
        parts = [self.aligner.project(block, seen) for block in torch.split(own, _BLOCK)]
        out: F32 = torch.cat(parts).float().cpu().numpy()
        return out

    @torch.inference_mode()
    def project_texts(self, texts: Sequence[str]) -> F32:
        """Words to unit rows (n, dim), for a head that reads words itself."""
        if self.texts is None:
            raise EncoderUnavailable("this head reads embeddings of words, not words: its encoder is needed")
        parts = [self.aligner.project(self.texts(some), Modality.TEXT) for some in chunks(texts, _BLOCK)]
        out: F32 = torch.cat(parts).float().cpu().numpy()
        return out

    def row(self, modality: Modality, given: F32 | str) -> F32:
        """The unit row (dim,) of one stored vector (1, width or more), or of words.

        It is remembered: a sixth of a search for words that were asked before was to project them anew.
        """
        key = given if isinstance(given, str) else given.astype(np.float32, copy=False).tobytes()
        return self._row(modality, key).copy()

    def _project_one(self, modality: Modality, given: str | bytes) -> F32:
        if isinstance(given, str):
            rows = self.project_texts([given])
        else:
            rows = self.project(np.frombuffer(bytearray(given), np.float32)[None], modality)
        row: F32 = rows[0]
        return row

    def save(self, folder: Path, facts: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> None:
        """Write an artifact.

        facts: JSON values that go with it (method, settings, report, the encoder's fingerprint). files: others to keep.
        """
        text = {"kind": self.texts.kind, "shape": self.texts.shape} if self.texts else None
        manifest = {
            **facts,
            "kind": "head",
            "aligner": {"kind": self.aligner.kind, "shape": self.aligner.shape},
            "dims": {str(modality): width for modality, width in self.dims.items()},
            "text": text,
        }
        with write_artifact(folder, manifest) as temporary:
            weights = {name: tensor.cpu().contiguous() for name, tensor in self.aligner.state_dict().items()}
            save_file(weights, temporary / _WEIGHTS)
            if self.texts:
                self.texts.save(temporary)
            for name, data in (files or {}).items():
                (temporary / name).write_bytes(data)

    @classmethod
    def load(cls, folder: Path) -> "Head":
        """Read what `save` wrote. Raises ArtifactError when it is incomplete, altered or of another release."""
        manifest = read_manifest(folder)
        try:
            known, text = manifest["aligner"], manifest["text"]
            aligner = KINDS[known["kind"]](**known["shape"])
            aligner.load_state_dict(load_file(folder / _WEIGHTS))
            texts = TEXT_KINDS[text["kind"]].load(folder, text["shape"]) if text else None
            dims = {Modality(name): int(width) for name, width in manifest["dims"].items()}
        except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
            raise ArtifactError(f"the head in {folder} cannot be read ({error}): train it again") from None
        return cls(aligner.eval(), dims, texts)


def curve_file(catalog: Catalog, head_id: int) -> Path | None:
    """The drawn curves of a head's training, inside its own folder of the library; None when there are none."""
    with catalog.session() as session:
        row = session.get(HeadRow, head_id)
    home = (catalog.home / HOME_FOLDER).resolve()
    path = (catalog.home / row.folder / CURVE).resolve() if row else None
    return path if path and path.parent.parent == home and path.name == CURVE and path.is_file() else None
