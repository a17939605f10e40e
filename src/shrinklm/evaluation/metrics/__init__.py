"""Metrics of one example and one prediction. None means not scored; means and intervals belong to `stats`."""
