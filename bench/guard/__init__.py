"""Guards what a token costs in the worker: instructions, which repeat where times do not."""
