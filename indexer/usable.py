"""Whether the encoder that embedded something can still read its queries."""

from pathlib import Path

from engine.artifacts import MANIFEST, read_manifest
from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.encoders import PREFIX, STARTER, folder_of, resolved_spec
from engine.encoders.features import is_features
from engine.encoders.matching import MatchingEncoder
from engine.errors import ArtifactError, RebusError


def unusable(home: Path, encoder: EncoderRow, device: str, *, load: bool = False) -> str:
    """Why words cannot be compared with what an encoder embedded; "" where nothing is seen.

    load: read its weights. Those that come with Rebus, of which a library may have no copy, are always read: another
    release has others. A model named at a hub is not looked at otherwise.
    """
    spec = resolved_spec(home, encoder.spec)
    if wrong := _files(spec):
        return wrong
    if not load and spec != STARTER:
        return ""
    try:
        MatchingEncoder(device).load(spec, encoder.fingerprint)
    except RebusError as error:
        return str(error)
    return ""


def warning(catalog: Catalog, version: IndexVersion, device: str) -> str | None:
    """What to tell whoever chooses a version whose words cannot be read any more."""
    with catalog.session() as session:
        encoder = session.get_one(EncoderRow, version.encoder_id)
    wrong = unusable(catalog.home, encoder, device)
    if not wrong:
        return None
    return (
        f"Its encoder cannot be used, so words are only looked up as they are written: {wrong}. Go back with "
        "`rebus versions use`, or run `rebus index`."
    )


def _files(spec: str) -> str:
    """What is wrong with an encoder's files, "" when nothing is seen. A model named at a hub is not looked at."""
    if is_features(spec):
        return ""
    if spec.startswith(PREFIX):
        checkpoint = Path(spec.partition("/")[2])
        return f"no checkpoint at {checkpoint}" if checkpoint.is_absolute() and not checkpoint.is_file() else ""
    folder = folder_of(spec)
    if not folder.is_dir():
        return "its folder is not there"
    try:
        if (folder / MANIFEST).exists():
            read_manifest(folder)
    except ArtifactError as error:
        return str(error)
    return "" if any(folder.iterdir()) else "its folder is empty"
