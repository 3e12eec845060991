"""Pure renderings of events and outcomes as text."""
