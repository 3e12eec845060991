"""One file per thing that a run does to the target, named like its class."""
