"""The job: one process run of one verb, from its settings to its last line. READ FIRST: `up.py`."""
