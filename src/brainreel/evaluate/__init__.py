"""From a fitted run to a Scorecard."""
