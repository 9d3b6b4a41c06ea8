"""Which encoder a library is embedded with, and that a choice is remembered before it has come to anything."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from engine.artifacts import replace_file
from engine.catalog import Catalog, EncoderRow
from engine.config import Config
from engine.encoders import PREFIX, STARTER, folder_of, portable_spec, resolved_spec
from engine.encoders.features import is_features
from engine.errors import EncoderUnavailable
from indexer.bundled import found

LARGER = (
    "They are embedded by the small encoder that comes with Rebus. A larger model understands far more: "
    "`rebus index --encoder open_clip:ViT-B-32/laion2b_s34b_b79k` fetches 605 MB once, and embeds 11 times slower."
)
_FILE = "chosen-encoder.txt"  # in the home, while the first run has not loaded its encoder


def chosen_encoder(catalog: Catalog, config: Config) -> str | None:
    """The spec to embed with: the setting, else what the library uses, else what was trained or chosen for it last.

    The setting `starter`, the default, gives way to these: it is what a library begins with. Where all vectors were
    imported, nothing is chosen: to embed pictures beside them would take them out of the search.
    """
    model = config.encoder.model
    if model not in ("", STARTER):
        return found(catalog.home, model)
    version = catalog.current_version()
    newest = sa.select(EncoderRow.spec).order_by(EncoderRow.id.desc())
    with catalog.session() as session:
        spec = session.get_one(EncoderRow, version.encoder_id).spec if version else None
        if spec is None or is_features(spec):  # what was imported cannot embed anything
            spec = session.scalar(newest.where(EncoderRow.spec.not_like("features:%")).limit(1))
        imported = spec is None and session.scalar(newest.limit(1)) is not None
    if spec is None:
        with suppress(OSError, UnicodeDecodeError):
            spec = (catalog.home / _FILE).read_text(encoding="utf-8") or None
    if spec is None:
        return None if imported or not model else model
    return found(catalog.home, resolved_spec(catalog.home, spec))


@contextmanager
def remembered(catalog: Catalog, spec: str | None) -> Iterator[None]:
    """Keep the choice for the next run while the library has no encoder: this one may be interrupted as it loads.

    One that cannot be loaded is forgotten.
    """
    with catalog.session() as session:
        has_one = session.scalar(sa.select(sa.func.count()).select_from(EncoderRow))
    file = catalog.home / _FILE
    if has_one:
        file.unlink(missing_ok=True)  # of a run that was interrupted later
    if spec is None or has_one:
        yield
        return
    whole = spec if spec == STARTER or spec.startswith(PREFIX) else str(folder_of(spec))
    replace_file(file, portable_spec(catalog.home, whole).encode())
    try:
        yield
    except EncoderUnavailable:
        file.unlink(missing_ok=True)
        raise
    file.unlink(missing_ok=True)
