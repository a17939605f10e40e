"""Student × Task → Predictions → Scores."""
