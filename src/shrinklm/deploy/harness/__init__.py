"""The test questions for other tools that evaluate models."""
