"""Links are kept as keyed hashes; a browser, and a platform's id, begin once.

Links that were given out before still work, under `old_link`; pages show the new ones.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"
_NEW = ("old_link", "visit", "known")


def upgrade() -> None:
    """Adds the columns and turns links into hashes."""
    for name in _NEW:
        op.add_column("participant", sa.Column(name, sa.String(64)))
        op.create_index(f"participant_{name}", "participant", [name], unique=True)
    key, connection = context.config.attributes["key"], op.get_bind()
    people = sa.table("participant", *(sa.column(name) for name in ("id", "code", "link", "source", "external", *_NEW)))
    for row in connection.execute(sa.select(people)).all():
        known = None if row.external is None else key.hash("id", f"{row.source} {row.external}")
        new = {"link": key.hash("link", key.link(row.code)), "old_link": key.hash("link", row.link), "known": known}
        connection.execute(sa.update(people).where(people.c.id == row.id).values(new))


def downgrade() -> None:
    """Takes the columns away. Links that were given out open nothing then."""
    for name in _NEW:
        op.drop_index(f"participant_{name}", "participant")
        op.drop_column("participant", name)
