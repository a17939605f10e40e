"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes every table."""
    op.create_table(
        "participant",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("code", sa.String(16), nullable=False, unique=True),
        sa.Column("link", sa.String(64), nullable=False, unique=True),
        sa.Column("seat", sa.Integer, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("external", sa.String(128)),
        sa.Column("consent", sa.String(32), nullable=False),
        sa.Column("consented_at", sa.DateTime, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("about", sa.JSON),
        sa.Column("opened", sa.Integer),
        sa.Column("opened_at", sa.DateTime),
    )
    op.create_table(
        "seat",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("participant", sa.Integer, sa.ForeignKey("participant.id", ondelete="SET NULL")),
    )
    op.create_table(
        "response",
        sa.Column("participant", sa.Integer, sa.ForeignKey("participant.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("treatment", sa.JSON, nullable=False),
        sa.Column("wanted", sa.Integer),
        sa.Column("values", sa.JSON, nullable=False),
        sa.Column("remark", sa.Text),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("revisions", sa.Integer, nullable=False),
        sa.Column("answered_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "session",
        sa.Column("hash", sa.String(64), primary_key=True),
        sa.Column("participant", sa.Integer, sa.ForeignKey("participant.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "setting", sa.Column("key", sa.String(32), primary_key=True), sa.Column("value", sa.Text, nullable=False)
    )


def downgrade() -> None:
    """Takes every table away."""
    for name in ("setting", "event", "session", "response", "seat", "participant"):
        op.drop_table(name)
