"""The load generators: they read the stamps that the paced upstream wrote."""
