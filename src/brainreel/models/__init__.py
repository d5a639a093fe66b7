"""One family a file: its Config beside its model."""
