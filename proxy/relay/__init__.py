"""Bytes through: framing, relaying, pings, clocks, and how a stream is told that it broke."""
