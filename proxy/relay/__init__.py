"""Relaying: event framing, bodies, pings, timeouts and terminal error events."""
