"""HTTP in: authentication, admission, limits, and the flow of one request from end to end."""
