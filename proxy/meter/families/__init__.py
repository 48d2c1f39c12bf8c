"""The stream readers that count: one file per API family."""
