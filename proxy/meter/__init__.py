"""Metering: reads each family's streams and counts tokens, costs, metrics, logs and spans."""
