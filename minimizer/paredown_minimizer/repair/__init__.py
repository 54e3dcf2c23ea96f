"""Repair: what tests missed on a slim image goes back, until they pass."""
