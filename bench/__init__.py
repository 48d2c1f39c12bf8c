"""The benchmark: what a streamed token costs, in Sluice and in its peers."""
