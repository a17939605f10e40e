"""Studies with people: their ratings read, analysed, told in words and figures, and held against a judge's."""

from .analyze import analyze
from .calibrate import calibrate
from .pair import read_pair
from .paragraph import paragraph
from .ratings import Ratings, read_ratings

__all__ = ["Ratings", "analyze", "calibrate", "paragraph", "read_pair", "read_ratings"]
