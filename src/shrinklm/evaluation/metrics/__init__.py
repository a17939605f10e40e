"""Metrics: pure functions of an example and a prediction. None means not scored; means and intervals belong to `stats`."""
