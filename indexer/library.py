"""The two long jobs, from end to end: index folders, and train an encoder. Both end in a published version."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from engine.catalog import Catalog, EncoderRow, Failure, IndexVersion
from engine.config import Config
from engine.encoders import Encoder, load_encoder
from indexer.jobs import JobReport, Tell, writing
from indexer.scan import ScanReport, scan

if TYPE_CHECKING:
    from indexer.train import TrainingReport

# What embeds and trains imports torch, which takes seconds: functions import it when they come to it, so that a scan
# without an encoder, or an error in the arguments, does not wait.


@dataclass(slots=True)
class IndexReport:
    """What indexing did. embedded: items given an embedding; version: the one served now, if any."""

    scans: list[ScanReport] = field(default_factory=list)
    embedded: int = 0
    failures: int = 0
    version: IndexVersion | None = None
    encoder: str | None = None


def index_folders(config: Config, folders: Sequence[Path], tell: Tell) -> IndexReport:
    """Scan folders, embed what is new, publish a version. Without an encoder only items and captions are recorded.

    Raises InvalidInput for a folder that cannot be read, LibraryBusy when another process writes.
    """
    catalog = Catalog(config, create=True)
    with writing(catalog, "index", tell) as job:
        report = IndexReport()
        for folder in folders:
            report.scans.append(scan(catalog, config, folder, lambda done, total: job("reading folders", done, total)))
        spec = chosen_encoder(catalog, config)
        if spec is not None:
            job("loading the encoder", 0, 0)
            from indexer.embed import embed

            encoder = load_encoder(spec, config.encoder.device)
            report.embedded = embed(catalog, config, encoder, job)
            report.version = _publish(catalog, config, encoder, job)
            report.encoder = encoder.spec
        with catalog.session() as session:
            report.failures = session.scalar(sa.select(sa.func.count()).select_from(Failure)) or 0
        return report


def train_and_publish(
    config: Config, tell: Tell, hear: Callable[[dict[str, float], int, int], None]
) -> "tuple[TrainingReport, IndexReport]":
    """Train an encoder on the library's captions, embed everything with it, and publish."""
    from indexer.embed import embed, register_encoder
    from indexer.encoder_training import train_encoder

    catalog = Catalog(config)
    with writing(catalog, "train", tell) as job:
        encoder, training = train_encoder(catalog, config, job, hear)
        report = IndexReport(encoder=encoder.spec)
        register_encoder(catalog, encoder, {"best": training.best, "curve": training.curve})
        report.embedded = embed(catalog, config, encoder, job)
        report.version = _publish(catalog, config, encoder, job)
        return training, report


def chosen_encoder(catalog: Catalog, config: Config) -> str | None:
    """The spec to embed with: the setting, else what the library uses, else what was trained in it last."""
    if config.encoder.model:
        return config.encoder.model
    version = catalog.current_version()
    with catalog.session() as session:
        if version is not None:
            return session.get_one(EncoderRow, version.encoder_id).spec
        return session.scalar(sa.select(EncoderRow.spec).order_by(EncoderRow.id.desc()).limit(1))


def _publish(catalog: Catalog, config: Config, encoder: Encoder, job: JobReport) -> IndexVersion | None:
    from indexer.build import build, is_current
    from indexer.embed import register_encoder

    row = register_encoder(catalog, encoder)
    if is_current(catalog, row):
        return catalog.current_version()
    return build(catalog, config, row, job)
