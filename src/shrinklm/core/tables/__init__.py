"""One data file → rows: CSV, TSV, JSONL, JSON, Parquet, Arrow and Excel workbooks."""

from .columnar import arrow_rows
from .read import FOLDER_SUFFIXES, SUFFIXES, read_file
from .rows import Layout, Row, Rows, missing_column

__all__ = ["FOLDER_SUFFIXES", "SUFFIXES", "Layout", "Row", "Rows", "arrow_rows", "missing_column", "read_file"]
