"""What tables, figures and numbers look like."""
