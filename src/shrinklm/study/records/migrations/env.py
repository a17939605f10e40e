"""Alembic's environment: runs the versions on the connection, and for the tables, that `engine.py` passes.

Alembic loads this file by its path, not as a module of the package: nothing of the package can be imported here by a
relative name.
"""

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], target_metadata=attributes["metadata"])
with context.begin_transaction():
    context.run_migrations()
