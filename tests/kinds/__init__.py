"""Kinds of env.py and of history, each taken through every verb; docs/reference/kinds.md is written from it."""
