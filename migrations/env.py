"""Alembic's entry: one connection, batch mode so that SQLite can change tables."""

import sqlalchemy as sa
from alembic import context

from engine.catalog import Base

engine = sa.create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
