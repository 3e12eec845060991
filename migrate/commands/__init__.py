"""One file per verb: its flags, its call, its report."""
