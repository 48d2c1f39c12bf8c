"""The store: its connection, the limits of keys and scripts; no other package speaks Redis."""
