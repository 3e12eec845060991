"""Throw-away databases: where they are, that they are no target, and what is replayed in them."""
