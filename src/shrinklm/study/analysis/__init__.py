"""Ratings, analysed."""
