"""The stream readers, which count tokens and detect the end: one file per API family."""
