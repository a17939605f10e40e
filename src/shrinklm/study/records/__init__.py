"""What people gave."""
