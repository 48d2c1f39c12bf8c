"""HTTP in: who may come, how many at once, and the flow of one request from end to end."""
