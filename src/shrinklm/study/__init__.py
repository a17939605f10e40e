"""Studies with people: made from runs, served, and their ratings analysed, put into words and figures, and compared
with a judge's."""

from .analysis.base import as_json
from .analysis.calibration import calibrate
from .analysis.pair import read_pair
from .analysis.pipeline import analyze
from .analysis.ratings import Ratings, read_ratings
from .analysis.summary import paragraph

__all__ = ["Ratings", "analyze", "as_json", "calibrate", "paragraph", "read_pair", "read_ratings"]
