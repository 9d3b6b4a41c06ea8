"""`rebus doctor`: examine a library, name the repair of each finding, and do those that are safe."""

from collections.abc import Iterator

from filelock import FileLock, Timeout

from engine.catalog import Catalog, EncoderRow, HeadRow
from engine.config import Config
from engine.errors import CatalogError
from indexer.care.accelerator import examine_accelerator
from indexer.care.embeddings import examine_embeddings
from indexer.care.findings import Finding, Level, problem
from indexer.care.heads import examine_heads
from indexer.care.rows import examine_catalog, examine_failures, examine_jobs, examine_words
from indexer.care.surroundings import (
    examine_disk,
    examine_encoders,
    examine_machine,
    examine_roots,
    examine_thumbnails,
)
from indexer.care.versions import examine_leftovers, examine_versions
from indexer.jobs import Tell, writing


def examine(config: Config, deep: bool = False) -> list[Finding]:
    """Look at everything; change nothing. deep: read every embedding, and load the encoders."""
    try:
        catalog = Catalog(config)
    except CatalogError as error:
        repair = "restore a backup with `rebus restore`, or make a library with `rebus index FOLDER`"
        return [problem(str(error), repair), *examine_machine(config)]
    try:
        return list(_examine(catalog, config, deep, being_written(catalog)))
    finally:
        catalog.engine.dispose()


def _examine(catalog: Catalog, config: Config, deep: bool, busy: bool) -> Iterator[Finding]:
    for finding in examine_catalog(catalog, deep):
        yield finding
        if _hopeless(finding):
            yield from examine_machine(config)
            return
    yield from examine_words(catalog, deep)
    yield from examine_embeddings(catalog, deep)
    yield from examine_heads(catalog)
    yield from examine_versions(catalog)
    yield from examine_encoders(catalog, config, deep)
    if not busy:  # what a writer is about to name is no leftover
        yield from examine_leftovers(catalog)
    yield from examine_thumbnails(catalog)
    yield from examine_roots(catalog)
    yield from examine_failures(catalog)
    yield from examine_jobs(catalog, busy)
    yield from examine_disk(catalog, config)
    yield from examine_machine(config)
    yield from examine_accelerator(config)


def repair(config: Config, deep: bool, tell: Tell) -> list[Finding]:
    """Do the safe repairs, then examine again. Raises LibraryBusy when another process writes."""
    try:
        catalog = Catalog(config)
    except CatalogError:
        return examine(config, deep)
    try:
        if not any(_hopeless(finding) for finding in examine_catalog(catalog, deep)):
            with writing(catalog, "repair", tell) as job:
                _mend(catalog, config, deep, job)
    finally:
        catalog.engine.dispose()
    return examine(config, deep)


def _mend(catalog: Catalog, config: Config, deep: bool, tell: Tell) -> None:
    before = catalog.current_version()
    findings = list(_examine(catalog, config, deep, busy=False))
    for done, finding in enumerate(findings):
        tell("repairing", done, len(findings))
        if finding.mend:
            finding.mend()
    if before is not None and any(finding.stale for finding in findings):
        _rebuild(catalog, config, before.encoder_id, before.head_id, tell)


def _hopeless(finding: Finding) -> bool:
    """Whether a finding about the catalog's file says that nothing more can be asked of it."""
    return finding.level is Level.PROBLEM and finding.mend is None


def _rebuild(catalog: Catalog, config: Config, encoder_id: int, head_id: int | None, tell: Tell) -> None:
    """Publish what is left of the embeddings that were served, with the head that was, if it is left."""
    from indexer.build import build  # faiss and torch: only where something is built

    with catalog.session() as session:
        encoder = session.get(EncoderRow, encoder_id)
        kept = head_id is not None and session.get(HeadRow, head_id) is not None
    if encoder is not None:
        build(catalog, config, encoder, tell, head_id if kept else None)


def being_written(catalog: Catalog) -> bool:
    """Whether another process holds the library's write lock."""
    lock = FileLock(catalog.home / "write.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def lines(findings: list[Finding]) -> Iterator[str]:
    """The findings as lines for a person, problems last."""
    order = {Level.OK: 0, Level.NOTE: 1, Level.PROBLEM: 2}
    for finding in sorted(findings, key=lambda finding: order[finding.level]):
        yield f"{finding.level:<8} {finding.what}"
        if finding.repair:
            yield f"{'':8} -> {finding.repair}"


def facts(findings: list[Finding]) -> list[dict[str, str]]:
    """The findings as JSON values."""
    return [{"level": str(found.level), "what": found.what, "repair": found.repair} for found in findings]


def healthy(findings: list[Finding]) -> bool:
    """Whether there is no problem."""
    return all(finding.level is not Level.PROBLEM for finding in findings)
