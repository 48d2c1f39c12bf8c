"""Bytes through: framing, relaying, pings, timeouts, and how a stream is told that it broke."""
