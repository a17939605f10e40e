"""Versions of the database's schema, by Alembic. A new one is a file in `versions/` that follows the last."""
