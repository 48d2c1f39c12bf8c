"""What runs around a contestant: its process, the upstream, the load generator, the cores."""
