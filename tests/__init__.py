"""The suite; it mirrors the layout of `migrate`."""
