"""Examine the catalog: its file, and whether its rows belong together."""

from collections.abc import Iterator
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from engine.catalog import HEAD, Caption, Catalog, Failure, Item, Job, chunks
from engine.words import counted
from indexer.care.findings import Finding, note, ok, problem
from indexer.care.forget import delete_items
from indexer.changes import forget_content

# Rows that nothing can be made of once what they point to is gone; what served a version, or a head, is built anew.
_LEAVES = ("embeddings", "marks", "facts", "keywords", "failures", "versions", "heads")
_RESTORE = "restore a backup with `rebus restore`, or move catalog.db away and index the folders again"
_SHOWN = 5


def examine_file(catalog: Catalog, deep: bool) -> Iterator[Finding]:
    """The database file and the schema. After a problem here nothing more can be asked."""
    if catalog.engine.dialect.name != "sqlite":
        yield ok(f"the catalog opens, schema {HEAD}; {catalog.engine.dialect.name} looks after its own files")
        return
    check = "integrity_check" if deep else "quick_check"
    with catalog.engine.connect() as connection:
        try:
            said = list(connection.scalars(sa.text(f"PRAGMA {check}({_SHOWN})")))
        except sa.exc.DatabaseError as error:
            said = [str(error.orig)]
    if said == ["ok"]:
        yield ok(f"the catalog opens, schema {HEAD}, {check} finds nothing")
    else:
        yield problem(f"the catalog is damaged: {'; '.join(said)}", _RESTORE)


def examine_references(catalog: Catalog) -> Iterator[Finding]:
    """Rows that point to rows that are not there. Databases other than SQLite see to that themselves."""
    if catalog.engine.dialect.name != "sqlite":
        return
    with catalog.engine.connect() as connection:
        broken = [tuple(row[:3]) for row in connection.execute(sa.text("PRAGMA foreign_key_check"))]
    for table, wanted in sorted({(table, wanted) for table, _, wanted in broken}):
        rows = sorted({row for name, row, to in broken if (name, to) == (table, wanted)})
        said = f"1 row of {table} points" if len(rows) == 1 else f"{len(rows):,} rows of {table} point"
        what = f"{said} to rows of {wanted} that are not there"
        if table == "captions":
            repair = "drop them (--repair), and `rebus index` reads the captions of those files again"
            yield problem(what, repair, partial(_drop_captions, catalog, rows), stale=True)
        elif (table, wanted) == ("items", "items"):
            repair = "drop these frames and captions of unknown files (--repair); `rebus index` finds the files"
            yield problem(what, repair, partial(_drop_items, catalog, rows), stale=True)
        elif table in _LEAVES:
            yield problem(what, "drop them (--repair)", partial(_drop, catalog, table, rows), stale=table == "versions")
        else:
            yield problem(what, _RESTORE)


def _drop(catalog: Catalog, table: str, rows: list[int]) -> None:
    with catalog.session() as session:
        for row in rows:
            session.execute(sa.text(f"DELETE FROM {table} WHERE rowid = :row"), {"row": row})


def _drop_items(catalog: Catalog, ids: list[int]) -> None:
    with catalog.session() as session:
        delete_items(session, ids)


def _drop_captions(catalog: Catalog, ids: list[int]) -> None:
    """Drop captions with their items, and have the files that they are of read again, with their sidecars."""
    owner, words = aliased(Item), aliased(Item)
    of = sa.func.coalesce(words.parent_id, owner.parent_id, owner.id)
    query = sa.select(of).select_from(Caption).outerjoin(words, words.id == Caption.id)
    query = query.outerjoin(owner, owner.id == Caption.owner_id)
    with catalog.session() as session:
        for some in chunks(ids, 500):
            files = set(session.scalars(query.where(Caption.id.in_(some))))
            session.execute(sa.delete(Caption).where(Caption.id.in_(some)))
            delete_items(session, some)
            for file in session.scalars(sa.select(Item).where(Item.id.in_(files))).all():
                forget_content(session, file.id)
                file.stamp = ""


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
    yield note(f"{counted(total, 'file')} could not be used. {said}", "see `rebus status --failures`")


def examine_jobs(catalog: Catalog, busy: bool) -> Iterator[Finding]:
    """Whether someone writes, and jobs that say they run while nobody does."""
    with catalog.session() as session:
        jobs = list(session.scalars(sa.select(Job).where(Job.state == "running").order_by(Job.id)))
    said = ", ".join(f"{job.kind} (process {job.pid}): {job.message or 'begun'}" for job in jobs)
    if busy:
        yield note(f"another process writes to this library: {said or 'it has just begun'}", "nothing need be done")
    elif jobs:
        repair = "give the same command again: it goes on where it was"
        killed = f"{counted(len(jobs), 'run', 'was', 'were')} killed: {said}"
        yield note(killed, repair, lambda: None)  # taking the lock marks them
    else:
        yield ok("nobody is writing, and no run was killed")
