"""People and films whose answers are known."""
