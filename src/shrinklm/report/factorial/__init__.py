"""Runs compared over crossed factors, such as methods by sizes: the analysis behind `shrinklm compare`."""

from .analysis import Cell, Factorial, analyze
from .export import as_json
from .rows import Measured, read
from .words import paragraph

__all__ = ["Cell", "Factorial", "Measured", "analyze", "as_json", "paragraph", "read"]
