"""READ SECOND: from an observation to a position, its findings, and the plan or the refusal."""
