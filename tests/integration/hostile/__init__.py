"""Hostile requests and hostile upstreams, as tables."""
