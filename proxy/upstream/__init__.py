"""Calls to upstreams: selection, attempts, retries, health and the HTTP transport."""
