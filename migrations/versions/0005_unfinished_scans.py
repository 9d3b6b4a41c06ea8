"""A scan that was cut short is known as such, so that the next one says what it could not"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("roots", sa.Column("unfinished", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.execute("ALTER TABLE roots DROP COLUMN unfinished")
