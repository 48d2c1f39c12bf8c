"""The store: its connection, the limits of keys and their scripts; nobody else speaks Redis."""
