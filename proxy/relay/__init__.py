"""Relaying: event framing, the byte pump, pings, timeouts and terminal error events."""
