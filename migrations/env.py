"""Alembic's entry: one connection, batch mode so that SQLite can change tables. The caller gives url and metadata."""

import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=context.config.attributes["metadata"], render_as_batch=True
    )
    with context.begin_transaction():
        context.run_migrations()
