"""The platforms' files, by the tools that read them."""
