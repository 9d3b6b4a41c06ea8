"""Towers: one network for each modality, from an embedding or tokens to the joint space."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from engine.aligners import Aligner
from engine.aligners.decoders import Codebook, Decoder
from engine.aligners.readers import Residual, Standardize, make_reader
from engine.types import Modality

_SHARED = "shared"


class Towers(Aligner):
    """A reader for each modality, then residual layers, then unit length.

    towers: by modality, a reader's JSON (see readers.py) with "layers" residual blocks of hidden "width" and
    "dropout"; or {"kind": "fixed", "input": d, "compress": bool}: nothing learned, the standardized input is the joint
    space. shared: the modalities share their residual layers. tails: by modality, what turns its code into the
    joint space, {"width": hidden units, "groups": g, "size": codes}: a decoder, after a codebook when size is not 0.
    code: the width before the tails, `dim` when not said.
    """

    kind = "towers"

    def __init__(
        self,
        dim: int,
        towers: Mapping[str, Mapping[str, Any]],
        shared: bool = False,
        code: int | None = None,
        tails: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.code, self.is_shared = dim, code or dim, shared
        specs = {name: dict(spec) for name, spec in towers.items()}
        given_tails = {name: dict(tail) for name, tail in (tails or {}).items()}
        self.shape = {"dim": dim, "towers": specs, "shared": shared, "code": self.code, "tails": given_tails}
        self.readers, self.blocks, self.tails = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for name, spec in specs.items():
            if spec["kind"] == "fixed":
                self.readers[name] = Standardize(spec["input"], spec["compress"])
                continue
            own = dict(spec)
            layers, width = own.pop("layers", 0), own.pop("width", self.code)
            dropout = own.get("dropout", 0.0)
            self.readers[name] = make_reader(own, self.code)
            if _SHARED not in self.blocks:
                blocks = nn.Sequential(*(Residual(self.code, width, dropout) for _ in range(layers)))
                self.blocks[_SHARED if shared else name] = blocks
        for name, tail in given_tails.items():
            decoder: nn.Module = Decoder(self.code, tail["width"], dim)
            if tail["size"]:
                decoder = nn.Sequential(Codebook(self.code, tail["groups"], tail["size"]), decoder)
            self.tails[name] = decoder

    def embed(self, x: Tensor, modality: Modality) -> Tensor:
        """The code (n, code) before tail and normalisation, float32."""
        out = self.readers[modality](x)
        blocks = _SHARED if self.is_shared else str(modality)
        if blocks in self.blocks:
            out = self.blocks[blocks](out)
        code: Tensor = out.float()
        return code

    def project(self, x: Tensor, modality: Modality) -> Tensor:
        out = self.embed(x, modality)
        if modality in self.tails:
            out = self.tails[modality](out).float()
        return F.normalize(out, dim=-1)

    def learn_inputs(self, inputs: Mapping[Modality, Tensor]) -> None:
        """Take from the training inputs what is counted, not learned by gradients: means, deviations, frequencies."""
        for modality, x in inputs.items():
            self.readers[modality].learn(x)  # type: ignore[operator]
