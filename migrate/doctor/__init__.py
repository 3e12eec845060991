"""What `migrate doctor` reads and what it makes of it."""
