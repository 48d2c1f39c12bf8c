"""Sluice: an edge gateway for streamed LLM answers."""
