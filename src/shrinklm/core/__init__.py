"""What every folder speaks in: records, errors, names, files."""
