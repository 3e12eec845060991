"""Measurements against other tools; they print ratios and never fail on a time.

`make bench` measures the rows of `tests.bench.rows` (`ROWS=manifest` those whose names have that in them, `WRITE=1` for
docs/reference/performance.md). A further row is a function in a module of its own that `rows` lists.
"""
