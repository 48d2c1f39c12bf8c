"""Whole answers, put together from the events of their streams; one file per family."""
