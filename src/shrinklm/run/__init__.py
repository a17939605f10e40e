"""A recipe, a run folder, and the stages between them."""
