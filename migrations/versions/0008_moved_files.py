"""Where a file that moved lay before: what a caption table says of that path still speaks of it"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("told_as", sa.String(), nullable=True))
    op.create_index("ix_items_told_as", "items", ["told_as"])


def downgrade() -> None:
    op.drop_index("ix_items_told_as", "items")
    op.execute("ALTER TABLE items DROP COLUMN told_as")
