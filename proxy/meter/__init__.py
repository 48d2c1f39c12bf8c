"""Counting: what a stream holds, what it cost, and how that is told."""
