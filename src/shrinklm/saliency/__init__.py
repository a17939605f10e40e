"""Which words of a question moved a model."""
