"""Measurements against other tools; they print ratios and never fail on a time."""
