"""Shared by all folders: records, errors, names, files."""
