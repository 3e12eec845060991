"""The revision graph of an image, and what its files' text shows without being run."""
