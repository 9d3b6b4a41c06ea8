"""Heads, imported feature libraries and their categories"""

from typing import Any

import sqlalchemy as sa
from alembic import op

INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS: dict[str, dict[str, tuple[Any, Any]]] = {  # added in place, as 0002 says
    "encoders": {"dims": (sa.JSON(), None)},
    "versions": {"head_id": (INTEGER, None)},
    "items": {"category": (sa.String(), None)},
    "roots": {"kind": (sa.String(length=8), "media")},
}


def upgrade() -> None:
    op.create_table(
        "heads",
        sa.Column("encoder_id", INTEGER, nullable=False),
        sa.Column("method", sa.String(length=32), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("promoted", sa.Boolean(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("id", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["encoder_id"], ["encoders.id"], name=op.f("fk_heads_encoder_id_encoders")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heads")),
        sqlite_autoincrement=True,
    )
    for table, columns in COLUMNS.items():
        for name, (kind, default) in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    op.create_index("ix_items_category", "items", ["category"])


def downgrade() -> None:
    # Versions that a head projects are nothing the second schema can serve.
    op.execute("DELETE FROM versions WHERE head_id IS NOT NULL")
    op.drop_index("ix_items_category", "items")
    for table, columns in COLUMNS.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
    op.drop_table("heads")
