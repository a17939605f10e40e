"""A student's folder with a model card, and its way to the Hub."""
