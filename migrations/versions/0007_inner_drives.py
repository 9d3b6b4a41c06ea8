"""Which folders below a root were the places of drives: one that is not mounted has lost nothing"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("roots", sa.Column("mounts", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.execute("ALTER TABLE roots DROP COLUMN mounts")
