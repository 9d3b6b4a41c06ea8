"""Indexes of few rows hold no others: what is no part of a file and not removed is looked up by what else is asked"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = "parent_id", "removed_at"


def upgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_items_{column}", "items")
        is_set = sa.text(f"{column} IS NOT NULL")
        op.create_index(f"ix_items_{column}", "items", [column], sqlite_where=is_set, postgresql_where=is_set)


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_items_{column}", "items")
        op.create_index(f"ix_items_{column}", "items", [column])
