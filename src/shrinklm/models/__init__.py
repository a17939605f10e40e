"""Weights: found, loaded, decoded."""
