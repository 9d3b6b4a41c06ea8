"""`rebus import` from end to end: find a feature library, look it through, write it, publish it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, IndexVersion
from engine.config import Config
from engine.encoders import Encoder, load_encoder
from engine.encoders.features import FeatureEncoder
from engine.errors import InvalidInput
from engine.types import Modality
from indexer.imports.check import Checked, check
from indexer.imports.layouts import Files, Library, find_library
from indexer.imports.write import BLOCK, FeatureWriter
from indexer.jobs import JobReport, Tell, writing
from indexer.roots import open_import_root

Note = Callable[[str], None]


@dataclass(slots=True)
class ImportReport:
    """What an import did. pictures, captions: of the library; added, back, removed: pictures; vectors: written now."""

    pictures: int
    captions: int
    text_vectors: int
    encoder: str
    added: int = 0
    back: int = 0
    removed: int = 0
    vectors: int = 0
    notes: list[str] = field(default_factory=list)
    version: IndexVersion | None = None


def import_features(
    config: Config, files: Files, tell: Tell, *, name: str | None = None, model: str | None = None
) -> ImportReport:
    """Bring a library up to date with a feature library, which is checked before anything is written, and publish.

    name: of the features, when it is not to be the folder's. model: the spec of the encoder that made them.
    Raises InvalidInput for what cannot be imported, EncoderUnavailable when the model cannot be loaded, LibraryBusy.
    """
    library = find_library(files, config.captions)
    checked = check(library, tell)
    encoder = _encoder(library, name, model, config)
    report = ImportReport(len(library.images), checked.captions, len(library.texts or ()), encoder.spec)
    report.notes += _notes(checked, model)
    catalog = Catalog(config, create=True)
    try:
        with writing(catalog, "import", tell) as job:
            _write(catalog, config, checked, encoder, model is not None, job, report)
    finally:
        catalog.engine.dispose()
    return report


def _encoder(library: Library, name: str | None, model: str | None, config: Config) -> Encoder:
    """What the vectors are by. Raises InvalidInput when a model is named that makes others."""
    dims = {Modality.IMAGE: library.images.width}
    if library.texts is not None:
        dims[Modality.TEXT] = library.texts.width
    if model is None:
        given = re.sub(r"[^\w. -]", "-", library.folder.name)[:64].lstrip(".- ") or "features"
        return FeatureEncoder(name or given, dims)
    encoder = load_encoder(model, config.encoder.device)
    for modality, width in dims.items():
        if encoder.dims.get(modality) != width:
            raise InvalidInput(
                f"{model} makes {modality} vectors of {encoder.dims.get(modality, 0):,} numbers, these have {width:,}: "
                "name the model that made them, or leave --encoder out"
            )
    return encoder


def _notes(checked: Checked, model: str | None) -> list[str]:
    notes = []
    if checked.unmatched:
        notes.append(f"{checked.unmatched:,} rows of captions name no picture that has features: they were left out")
    if not checked.captions and checked.order is None:
        notes.append(
            "this library has no captions: pictures can be found by pictures of it, and no head can be trained. "
            "Import it again with --captions to add them"
        )
    elif checked.order is None and model is None:
        notes.append("the captions have no vectors: `rebus train` fits a head that reads their words")
    return notes


def _write(
    catalog: Catalog, config: Config, checked: Checked, encoder: Encoder, real: bool, job: JobReport,
    report: ImportReport,
) -> None:  # fmt: skip
    from indexer.build import build, is_current

    library, served = checked.library, catalog.current_version()
    root = open_import_root(catalog, library.media)
    row = _register(catalog, encoder, real)
    writer = FeatureWriter(catalog, config, root, row, library.images, library.texts, encoder if real else None)
    entries, done = checked.entries(config.captions), 0
    while some := list(islice(entries, BLOCK)):
        writer.write(some, done)
        done += len(some)
        job("importing", done, len(library.images))
    writer.remove_missing()
    counts = writer.counts
    report.added, report.back, report.removed, report.vectors = (
        counts.added, counts.back, counts.removed, counts.vectors,
    )  # fmt: skip
    report.version = catalog.current_version() if is_current(catalog, row) else build(catalog, config, row, job)
    if served is not None and served.encoder_id != row.id:
        report.notes.append("what was searchable before is by another encoder, and is no longer served from this home")


def _register(catalog: Catalog, encoder: Encoder, real: bool) -> EncoderRow:
    """The encoder's row, made when it is new here."""
    if real:
        from indexer.embed import register_encoder

        return register_encoder(catalog, encoder)
    with catalog.session() as session:
        row = session.scalar(sa.select(EncoderRow).where(EncoderRow.fingerprint == encoder.fingerprint))
        if row is None:
            dims = {str(modality): width for modality, width in encoder.dims.items()}
            row = EncoderRow(
                fingerprint=encoder.fingerprint, spec=encoder.spec, dim=max(dims.values()), dims=dims, report={}
            )
            session.add(row)
        return row
