"""What a revision does to tables that were there before it, and what it needs of their rows: values and their lines."""
