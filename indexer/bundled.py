"""The encoder that comes with Rebus, as a library keeps it: a copy of its own, which an upgrade of Rebus leaves alone.

Only the very weights that embedded a library can read its queries, and the next release may come with others.
"""

import shutil
from pathlib import Path

import xxhash

from engine.artifacts import read_manifest, write_artifact
from engine.encoders import CONFIG_FILE, HOME_FOLDER, MERGES_FILE, PREFIX, STARTER, WEIGHTS_FILE, folder_of
from engine.errors import ArtifactError

LICENCE = "LICENSE"  # goes where the weights go
_PARTS = CONFIG_FILE, WEIGHTS_FILE, MERGES_FILE
NEWER = (
    "Rebus comes with another small encoder now than the one that this library keeps and goes on with: "
    "`rebus index --encoder starter` embeds everything anew with it."
)


def is_starter(spec: str | None) -> bool:
    """Whether a spec is of the encoder that comes with Rebus, or of a copy of it, or of one that came before."""
    return spec is not None and (_is_bundled(spec) or is_copy(spec))


def is_copy(spec: str) -> bool:
    """Whether a spec, as `load_encoder` takes it or as the catalog keeps it, is of a library's copy."""
    folder = Path(spec)
    return folder.parent.name == HOME_FOLDER and folder.name.startswith(f"{STARTER}-")


def is_older(spec: str | None) -> bool:
    """Whether a spec is of a copy of another encoder than the one that comes with Rebus now."""
    return spec is not None and is_copy(spec) and Path(spec).name != _copy(Path()).name


def kept(home: Path, spec: str) -> str:
    """The spec of the library's copy where one of the bundled encoder is asked for, and any other as it is.

    A copy that is not there yet, or not whole, is made. Raises ArtifactError where the bundled files are not as they
    were made.
    """
    if not _is_bundled(spec):
        return spec
    copy, bundled = _copy(home), folder_of(STARTER)
    if not _is_whole(copy):
        read_manifest(bundled)
        shutil.rmtree(copy, ignore_errors=True)
        with write_artifact(copy, {"kind": "encoder", "from": STARTER}) as temporary:
            for name in (*_PARTS, LICENCE):
                shutil.copyfile(bundled / name, temporary / name)
    return str(copy)


def found(home: Path, spec: str) -> str:
    """What to load for a spec: the library's copy of what is bundled; what is bundled where that is lost or damaged.

    Any other spec stays as it is.
    """
    if not is_starter(spec):
        return spec
    if is_copy(spec) and not Path(spec).is_dir():
        return STARTER
    copy = _copy(home)  # which reads all that is bundled
    if is_copy(spec) and Path(spec).name != copy.name:
        return spec
    return str(copy) if _is_whole(copy) else STARTER


def licence_of(folder: Path | None) -> dict[str, bytes]:
    """The licence of weights by its file's name, for what goes on from them; nothing where there is none."""
    file = folder / LICENCE if folder else None
    return {LICENCE: file.read_bytes()} if file and file.is_file() else {}


def _copy(home: Path) -> Path:
    """Where a library keeps what comes with Rebus now; it is named by its content."""
    bundled, digest = folder_of(STARTER), xxhash.xxh3_128()
    for name in _PARTS:
        digest.update((bundled / name).read_bytes())
    return home / HOME_FOLDER / f"{STARTER}-{digest.hexdigest()[:16]}"


def _is_whole(copy: Path) -> bool:
    try:
        return bool(read_manifest(copy)["kind"] == "encoder")
    except ArtifactError:
        return False


def _is_bundled(spec: str) -> bool:
    return not spec.startswith((PREFIX, "features:")) and folder_of(spec) == folder_of(STARTER)
