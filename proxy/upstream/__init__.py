"""HTTP out: which upstream, how often, and the bytes that come back."""
