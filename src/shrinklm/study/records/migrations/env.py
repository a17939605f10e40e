"""Alembic's environment: runs the versions on the connection that `engine.py` passes.

Alembic loads this file by its path, not as a module of the package, so the import below is absolute.
"""

from alembic import context

from ..schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
