"""What each method shows a student."""
