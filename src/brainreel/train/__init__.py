"""From a configuration to a fitted run."""
