"""What an image and a machine are set up with."""
