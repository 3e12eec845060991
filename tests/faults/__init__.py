"""Faults: every test does one to a release, and proves what became of it."""
