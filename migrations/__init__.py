"""Alembic migrations of the catalog. They travel in the wheel and are applied by `engine.database.migrate`."""
