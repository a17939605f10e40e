"""Runs compared over crossed factors, such as methods by sizes: what stands behind `shrinklm compare`."""

from .analysis import Cell, Factorial, analyse
from .table import Measured, read

__all__ = ["Cell", "Factorial", "Measured", "analyse", "read"]
