"""What of an image an intruder could use: the attack surface."""
