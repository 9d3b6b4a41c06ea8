"""Alembic's entry: one connection, batch mode so that SQLite can change tables. The caller gives url and metadata.

All migrations are one transaction, on SQLite too: a full disk or a kill in the middle leaves the old schema whole.
"""

from typing import Any

import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
if engine.dialect.name == "sqlite":  # whose driver commits before each change of a table, unless it is told not to

    @sa.event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")


with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=context.config.attributes.get("metadata"),
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
