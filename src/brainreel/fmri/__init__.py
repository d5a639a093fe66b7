"""What the scanner measured."""
