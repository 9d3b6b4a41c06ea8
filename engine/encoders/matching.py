"""The encoder that embedded a library, and no other: its queries mean nothing to another's embeddings."""

from typing import NamedTuple

from engine.encoders import PREFIX, STARTER, Encoder, load_encoder, weights_file
from engine.errors import EncoderUnavailable, OtherStarter

_Files = tuple[tuple[str, int, int], ...]


class _Refused(NamedTuple):
    """Why an encoder could not be had, and of which files that is true; None for a model at a hub."""

    spec: str
    fingerprint: str
    files: _Files | None
    error: EncoderUnavailable


class MatchingEncoder:
    """Loads encoders by spec and fingerprint. One that was refused is not read again until its files are others."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._refused: _Refused | None = None

    def load(self, spec: str, fingerprint: str) -> Encoder:
        """Raises EncoderUnavailable for weights gone or changed, OtherStarter where Rebus comes with others."""
        files, error = _files(spec), self.refusal(spec, fingerprint)
        if error is not None and files is not None:
            raise error
        self._refused = None
        try:
            return _matching(spec, fingerprint, self._device)
        except EncoderUnavailable as error:
            self._refused = _Refused(spec, fingerprint, files, error.with_traceback(None))
            raise

    def refusal(self, spec: str, fingerprint: str) -> EncoderUnavailable | None:
        """Why the encoder could not be loaded when that was last tried; None: not tried since it changed."""
        known = self._refused
        same = known is not None and known[:3] == (spec, fingerprint, _files(spec))
        return type(known.error)(*known.error.args) if known is not None and same else None


def _matching(spec: str, fingerprint: str, device: str) -> Encoder:
    encoder = load_encoder(spec, device)
    if encoder.fingerprint == fingerprint:
        return encoder
    if spec == STARTER:
        raise OtherStarter(
            "Rebus comes with another small encoder now than the one that embedded this library, which keeps no copy "
            "of its own: run `rebus index` to embed everything anew"
        )
    raise EncoderUnavailable(
        f"the weights of {spec} changed since this library was indexed: bring the old ones back, or run `rebus index` "
        "to embed with the new ones"
    )


def _files(spec: str) -> _Files | None:
    """Names, times and sizes of the files that an encoder is loaded from; None for what has none of its own."""
    weights = weights_file(spec)
    if weights is None:
        return None
    paths = [weights] if spec.startswith(PREFIX) else sorted(weights.parent.glob("*"))
    facts = ((path.name, path.stat()) for path in paths if path.is_file())
    return tuple((name, each.st_mtime_ns, each.st_size) for name, each in facts)
