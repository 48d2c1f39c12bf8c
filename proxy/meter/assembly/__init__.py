"""Assembles whole responses from the events of streams; one file per family."""
