"""Many minutes of everything at once."""
