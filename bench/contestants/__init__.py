"""Who takes part: one file per contestant, and the list of them all."""
