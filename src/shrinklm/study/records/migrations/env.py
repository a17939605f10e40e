"""What Alembic runs: the versions, on the connection that `records` hands over."""

from alembic import context

from ..schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
