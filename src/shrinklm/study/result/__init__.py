"""Machine, judges and people side by side."""
