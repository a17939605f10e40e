"""Models that rate explanations."""
