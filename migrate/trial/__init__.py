"""What a trial of a history tries, with which rows, and what it finds: in shadows, never on a target."""
