"""The child process that runs the user's env.py and revisions, and the parent's hold on it."""
