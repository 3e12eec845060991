"""The manifest: the schema after every revision, as committed text."""
