"""Studies with people: their ratings read, analysed, told in words and figures, and held against a judge's."""

from .analysis.analyze import analyze
from .analysis.calibrate import calibrate
from .analysis.pair import read_pair
from .analysis.paragraph import paragraph
from .analysis.ratings import Ratings, read_ratings

__all__ = ["Ratings", "analyze", "calibrate", "paragraph", "read_pair", "read_ratings"]
