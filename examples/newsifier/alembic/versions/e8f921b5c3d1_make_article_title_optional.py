"""Make the title of an article optional: some sources have none.

Revision ID: e8f921b5c3d1
Revises: dbc1bc75a79e
Create Date: 2025-05-17 13:19:56
"""

import sqlalchemy as sa
from alembic import op

revision: str = "e8f921b5c3d1"
down_revision: str | tuple[str, ...] | None = "dbc1bc75a79e"
branch_labels: str | tuple[str, ...] | None = None
depends_on: str | tuple[str, ...] | None = None


def upgrade() -> None:
    """Allow articles without a title."""
    op.alter_column("articles", "title", existing_type=sa.String(255), nullable=True)


def downgrade() -> None:
    """Require a title again; articles without one get an empty one."""
    op.execute("UPDATE articles SET title = '' WHERE title IS NULL")
    op.alter_column("articles", "title", existing_type=sa.String(255), nullable=False)
