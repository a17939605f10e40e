"""shrinklm: shrink a large language model into a small one that answers and explains."""
__version__ = "0.1.0"
