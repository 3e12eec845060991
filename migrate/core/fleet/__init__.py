"""Many targets that share one history: who they are, in which order they are taken, and what they came to together."""
