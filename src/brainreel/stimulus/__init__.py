"""What the person saw and heard."""
