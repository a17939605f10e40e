"""Models: located, loaded, decoded."""
