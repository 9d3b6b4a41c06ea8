"""The database under a catalog: its connections, its address as it may be shown, and its refusals in words."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.errors import CatalogError, DiskFull


@contextmanager
def explained(url: str) -> Iterator[None]:
    """What a database, its driver or its address refuses, as CatalogError."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        if "disk is full" in cause:
            raise DiskFull(shown_url(url)) from error
        raise CatalogError(f"the catalog {shown_url(url)} cannot be opened: {cause}") from error


def shown_url(url: str) -> str:
    """A database's address, without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except (sa.exc.ArgumentError, ValueError):  # it may hold a password where none is looked for
        return "that catalog.url names"


def make_home(home: Path) -> None:
    """The folder of a library, for its owner alone. Raises CatalogError."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CatalogError(f"the library's home {home} cannot be made: {error.strerror}") from None


def tune_sqlite(connection: Any, _: Any) -> None:
    """What every connection to SQLite is told first; for SQLAlchemy's connect event."""
    cursor = connection.cursor()
    pragmas = (
        "journal_mode=WAL",
        "foreign_keys=ON",
        "synchronous=FULL",
        "busy_timeout=15000",
        "case_sensitive_like=ON",
    )
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    # SQLite's own knows no letters beyond ASCII
    connection.create_function("lower", 1, lambda text: text and str(text).lower(), deterministic=True)


def programs(database: sqlite3.Connection) -> set[tuple[str, ...]]:
    """What a SQLite database does by itself: its triggers, views and virtual tables, as they were made."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%'"
    return set(database.execute(query).fetchall())


def programs_of_a_library() -> set[tuple[str, ...]]:
    """Those of a catalog of this release: the full-text index, and what keeps it right."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalog.db"
        migrate(f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as database:
            return programs(database)


def migrate(url: str) -> None:
    """Bring the database at `url` to this release's schema. Raises CatalogError. Alembic imports slowly: only here."""
    from alembic import command
    from alembic.config import Config as AlembicConfig
    from alembic.util import CommandError

    import migrations

    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    settings.attributes.update(url=url)
    try:
        with explained(url):
            command.upgrade(settings, "head")
    except CommandError as error:
        raise CatalogError(f"the catalog {shown_url(url)} is of another release: {error}. Upgrade Rebus") from error
