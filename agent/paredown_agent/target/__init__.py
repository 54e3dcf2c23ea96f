"""Targets: what can be recorded, and how it is started or found. One file each."""
