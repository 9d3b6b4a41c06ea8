"""Examine the catalog: its file, and whether its rows belong together."""

from collections.abc import Iterator
from functools import partial

import sqlalchemy as sa

from engine.catalog import HEAD, Catalog, Failure, Job
from indexer.care.findings import Finding, note, ok, problem

_LEAVES = ("embeddings", "marks", "facts", "keywords", "failures")  # rows that nothing else points to
_RESTORE = "restore a backup with `rebus restore`, or move catalog.db away and index the folders again"
_SHOWN = 5


def examine_catalog(catalog: Catalog, deep: bool) -> Iterator[Finding]:
    """The database file, the schema, and rows that point to rows that are not there."""
    if catalog.engine.dialect.name != "sqlite":
        yield ok(f"the catalog opens, schema {HEAD}; {catalog.engine.dialect.name} looks after its own files")
        return
    check = "integrity_check" if deep else "quick_check"
    with catalog.engine.connect() as connection:
        try:
            said = list(connection.scalars(sa.text(f"PRAGMA {check}({_SHOWN})")))
        except sa.exc.DatabaseError as error:
            said = [str(error.orig)]
        if said != ["ok"]:
            yield problem(f"the catalog is damaged: {'; '.join(said)}", _RESTORE)
            return
        yield ok(f"the catalog opens, schema {HEAD}, {check} finds nothing")
        broken = connection.execute(sa.text("PRAGMA foreign_key_check")).all()
    yield from _dangling(catalog, [(row[0], row[1]) for row in broken])


def _dangling(catalog: Catalog, broken: list[tuple[str, int]]) -> Iterator[Finding]:
    """Rows whose item, root or encoder is gone. broken: (table, rowid)."""
    for table in sorted({name for name, _ in broken}):
        rows = sorted({row for name, row in broken if name == table})
        what = f"{len(rows):,} rows of {table} point to rows that are not there"
        if table in _LEAVES:
            yield problem(what, "drop them (--repair)", partial(_drop, catalog, table, rows))
        else:
            yield problem(what, _RESTORE)


def _drop(catalog: Catalog, table: str, rows: list[int]) -> None:
    with catalog.session() as session:
        for row in rows:
            session.execute(sa.text(f"DELETE FROM {table} WHERE rowid = :row"), {"row": row})


def examine_words(catalog: Catalog, deep: bool) -> Iterator[Finding]:
    """Whether the full-text index holds the words that the catalog does; all of them are read for it."""
    if not deep or catalog.engine.dialect.name != "sqlite":
        return
    with catalog.engine.connect() as connection:
        try:
            connection.execute(sa.text("INSERT INTO words_fts (words_fts, rank) VALUES ('integrity-check', 1)"))
        except sa.exc.DatabaseError:
            what = "the full-text index holds other words than the catalog"
            yield problem(what, "make it anew (--repair)", partial(_index_words, catalog))
            return
        finally:
            connection.rollback()
    yield ok("the full-text index holds the words of the catalog")


def _index_words(catalog: Catalog) -> None:
    with catalog.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO words_fts (words_fts) VALUES ('rebuild')"))


def examine_failures(catalog: Catalog) -> Iterator[Finding]:
    """Files that could not be used, by their reasons."""
    query = sa.select(Failure.stage, Failure.reason, sa.func.count().label("files"))
    query = query.group_by(Failure.stage, Failure.reason).order_by(sa.func.count().desc(), Failure.reason)
    with catalog.session() as session:
        total = session.scalar(sa.select(sa.func.count()).select_from(Failure)) or 0
        reasons = session.execute(query.limit(_SHOWN)).all()
    if not total:
        yield ok("every file could be used")
        return
    said = "; ".join(f"{row.files:,}: {row.reason} ({row.stage})" for row in reasons)
    yield note(f"{total:,} files could not be used. {said}", "see `rebus status --failures`")


def examine_jobs(catalog: Catalog, busy: bool) -> Iterator[Finding]:
    """Whether someone writes, and jobs that say they run while nobody does."""
    with catalog.session() as session:
        jobs = list(session.scalars(sa.select(Job).where(Job.state == "running").order_by(Job.id)))
    said = ", ".join(f"{job.kind} (process {job.pid}): {job.message or 'begun'}" for job in jobs)
    if busy:
        yield note(f"another process writes to this library: {said or 'it has just begun'}", "nothing need be done")
    elif jobs:
        repair = "give the same command again: it goes on where it was"
        yield note(f"{len(jobs):,} runs were killed: {said}", repair, lambda: None)  # taking the lock marks them
    else:
        yield ok("nobody is writing, and no run was killed")
