"""The families of generated answers that the demo speaks: one file each."""
