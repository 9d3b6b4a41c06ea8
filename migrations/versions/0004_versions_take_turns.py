"""Which version is served is said, and no longer always the newest"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("versions", sa.Column("turn", kind, nullable=False, server_default="0"))
    op.execute("UPDATE versions SET turn = id")


def downgrade() -> None:
    # The third schema serves the newest: what is newer than the served one was rolled back, and goes.
    op.execute("DELETE FROM versions WHERE id > (SELECT id FROM versions ORDER BY turn DESC LIMIT 1)")
    op.execute("ALTER TABLE versions DROP COLUMN turn")
